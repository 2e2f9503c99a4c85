# One image for everything. Its default command, `all`, applies the migrations and runs the API and a worker, with a
# database of its own in /data where DATABASE_URL is not set; dist/bin has the commands for one of them.
#   docker build -t bullmq-orchestrator .
#   docker run -p 127.0.0.1:8000:8000 -p 127.0.0.1:9090:9090 -e AUTH_MODE=none -v orchestrator:/data bullmq-orchestrator

FROM node:20-bookworm-slim AS sources
WORKDIR /app
COPY package.json package-lock.json ./
# Not `npm ci`: it refuses a lock file that lacks an optional package of another platform.
RUN npm install --include=dev --no-audit --no-fund --ignore-scripts
COPY . .
RUN node scripts/bootstrap.mjs --build && rm -rf dist/test

# Live code (docker-compose.dev.yml): the compiler stays, and what it writes belongs to the user that runs it.
FROM sources AS dev
ENV LOG_FILE=none DATA_DIR=/data
RUN install -d -o node -g node /data && chown -R node:node dist src/store/generated
USER node
EXPOSE 5099 9090
CMD ["node", "scripts/bootstrap.mjs", "--build", "--run", "all", "--watch"]

FROM sources AS build
RUN npm prune --omit=dev --no-audit --no-fund --ignore-scripts && node scripts/sbom.mjs sbom.cdx.json

FROM node:20-bookworm-slim
# docker build --build-arg COMMIT_SHA=$(git rev-parse HEAD) --build-arg BUILD_TIME=$(date -u +%Y-%m-%dT%H:%M:%SZ) .
ARG BUILD_TIME=
ARG COMMIT_SHA=
ENV NODE_ENV=production LOG_FILE=none DATA_DIR=/data
ENV BUILD_TIME=$BUILD_TIME COMMIT_SHA=$COMMIT_SHA
WORKDIR /app
COPY --from=build /app/package.json /app/sbom.cdx.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/prisma ./prisma
COPY --from=build /app/templates ./templates
COPY --from=build /app/scripts/container-health.mjs ./scripts/container-health.mjs
COPY --from=build /app/dist ./dist
COPY --from=build /app/examples/ecosystem/fixtures ./examples/ecosystem/fixtures
RUN install -d -o node -g node /data
USER node
VOLUME /data
# The API, and /health and /metrics of the worker.
EXPOSE 8000 9090
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["node", "scripts/container-health.mjs"]
STOPSIGNAL SIGTERM
CMD ["node", "dist/bin/all.js"]
