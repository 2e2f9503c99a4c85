# One image for the API, the workers and the migrations: the command says which.
#   docker build -t bullmq-orchestrator .
#   docker run -p 127.0.0.1:8000:8000 -e AUTH_MODE=none -e DATABASE_URL=postgresql://… bullmq-orchestrator

FROM node:20-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
# Not `npm ci`: it refuses a lock file that lacks an optional package of another platform.
RUN npm install --include=dev --no-audit --no-fund --ignore-scripts
COPY . .
RUN node scripts/bootstrap.mjs --build && rm -rf dist/test && npm prune --omit=dev --no-audit --no-fund --ignore-scripts \
  && node scripts/sbom.mjs sbom.cdx.json

FROM node:20-bookworm-slim
ENV NODE_ENV=production LOG_FILE=none
WORKDIR /app
COPY --from=build /app/package.json /app/sbom.cdx.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/prisma ./prisma
COPY --from=build /app/templates ./templates
COPY --from=build /app/dist ./dist
COPY --from=build /app/examples/ecosystem/fixtures ./examples/ecosystem/fixtures
USER node
# The API, and /health and /metrics of a worker.
EXPOSE 8000 9090
# Either port may be the one that this container serves.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'; const ok = (base, port) => fetch(`${base}://127.0.0.1:${port}/health`).then((answer) => answer.ok || Promise.reject()); const api = process.env.PORT || 8000; Promise.any([ok('http', api), ok('https', api), ok('http', process.env.WORKER_PORT || 9090)]).catch(() => process.exit(1))"]
STOPSIGNAL SIGTERM
CMD ["node", "dist/bin/api.js"]
