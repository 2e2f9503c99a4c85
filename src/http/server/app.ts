/** The HTTP server, put together. What comes first applies to everything after it, so the order here is the policy. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import express, { type Express, type Request, type RequestHandler } from 'express';
import helmet from 'helmet';
import { OrchestratorError } from '../../domain/errors.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import { auditRequests } from '../middleware/audit-requests.ts';
import { authenticate } from '../middleware/authenticate.ts';
import { permitBoard } from '../middleware/authorise.ts';
import { boardChange, changeCheck, checking } from '../middleware/before-change.ts';
import { readBody } from '../middleware/body.ts';
import { contextOf, giveContext } from '../middleware/context.ts';
import { cors } from '../middleware/cors.ts';
import { createGuesses, limitRequests, noticeForwarding } from '../middleware/limits.ts';
import { isOwn, rejectForeignPages, rejectOtherNames } from '../middleware/origins.ts';
import { rejectUnlessUsable } from '../middleware/usable-database.ts';
import type { HttpConfig, HttpCore } from './core.ts';
import { docsAssets, docsRoutes } from './docs.ts';
import { type BoundEndpoints, bind, createRoutes } from './operation.ts';
import { loggedPath, problemHandler } from './problem.ts';

/** Half of what all headers together may have. */
const MAX_URL_LENGTH = 8_192;
export const BOARD_PATH = '/admin/queues';

/** `endpoints`: all that it serves, but for the pages that describe it. */
export function createHttpApp(deps: HttpCore, endpoints: readonly BoundEndpoints[]): Express {
  const { config, log } = deps;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.enable('case sensitive routing');
  app.set('query parser', 'simple');
  app.set('trust proxy', config.trustProxy ?? false);

  app.use(giveContext(deps.spans), accessLog(log, deps.answered), securityHeaders(config));
  app.use(auditRequests(deps.audit, { reads: config.auditReads, isBoard: (path) => path.startsWith(BOARD_PATH) }));
  const authenticated = [
    ...(deps.limits === undefined ? [] : noticeForwarding(deps.limits)),
    ...(deps.before ?? []),
    authenticate(deps.identify, log, {
      loginFor: deps.loginFor,
      guesses: deps.limits && createGuesses(deps.limits),
    }),
    ...(deps.limits === undefined ? [] : limitRequests(deps.limits)),
  ];
  if (config.hostNames !== undefined) app.use(rejectOtherNames(config.hostNames));
  app.use(rejectLongUrls);
  // Before CORS: no other site may reach into the queues.
  const own = config.publicUrl === undefined ? [] : [new URL(config.publicUrl).origin];
  const beforeBoard = changeCheck(deps.beforeChange, boardChange(BOARD_PATH));
  app.use(BOARD_PATH, authenticated, permitBoard, sameOrigin(own), checking(beforeBoard), deps.board);
  app.use(cors(config.corsOrigins), rejectForeignPages([...config.corsOrigins, ...own]), authenticated);
  for (const { path, handler } of docsAssets()) app.use(path, handler);
  app.use(rejectUnlessUsable(deps.writePath));
  const operations = [...endpoints, docsRoutes].flatMap((table) => table.operations);
  const tables = [...endpoints, ...bind([docsRoutes], { config, operations })];
  createRoutes(tables, deps.inTenant, deps.beforeChange).mount(app, readBody(config.bodyLimitBytes));
  app.use((request) => {
    throw new OrchestratorError('not_found', `Nothing is served at ${request.path.slice(0, 200)}`);
  });
  app.use(problemHandler(log, deps));
  return app;
}

/** The pages (docs, Bull Board) style their elements inline and ReDoc searches in a worker; scripts come from here only. */
function securityHeaders({ publicUrl, tls }: HttpConfig): RequestHandler {
  const https = tls !== undefined || publicUrl?.startsWith('https:') === true;
  const headers = alwaysTheSame(securityPolicy(https));
  return (_request, response, next) => {
    for (const [name, value] of headers) response.setHeader(name, value);
    next();
  };
}

/** The headers depend on nothing in a request, so the middleware makes them once. */
function alwaysTheSame(middleware: ReturnType<typeof helmet>): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  const response = {
    setHeader: (name: string, value: string) => headers.set(name, value),
    removeHeader: (name: string) => headers.delete(name),
  };
  // It uses nothing else of either.
  middleware({} as IncomingMessage, response as unknown as ServerResponse, (error) => {
    if (error !== undefined) throw error;
  });
  return headers;
}

function securityPolicy(https: boolean): ReturnType<typeof helmet> {
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'self'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'", "'unsafe-inline'"],
        imgSrc: ["'self'", 'data:'],
        fontSrc: ["'self'", 'data:'],
        workerSrc: ["'self'", 'blob:'],
        objectSrc: ["'none'"],
        baseUri: ["'self'"],
        formAction: ["'self'"],
        frameAncestors: ["'self'"],
      },
    },
    strictTransportSecurity: https,
  });
}

const rejectLongUrls: RequestHandler = (request, _response, next) => {
  if (request.originalUrl.length <= MAX_URL_LENGTH) return next();
  throw new OrchestratorError('uri_too_long', `The address is longer than ${MAX_URL_LENGTH} characters`);
};

/** Bull Board changes queues, partly by requests that need no preflight: another site's page must not send them. */
function sameOrigin(own: readonly string[]): RequestHandler {
  return (request, _response, next) => {
    const origin = request.get('origin');
    const safe = request.method === 'GET' || request.method === 'HEAD';
    if (safe || origin === undefined || own.includes(origin) || isOwn(origin, request.get('host'))) return next();
    throw new OrchestratorError('forbidden', 'The board takes changes from its own pages only');
  };
}

function accessLog(log: Logger, answered: HttpCore['answered']): RequestHandler {
  return (request, response, next) => {
    const startedAt = performance.now();
    response.once('finish', () => {
      const ms = performance.now() - startedAt;
      const { requestId, traceId, correlationId, caller, problem, span } = contextOf(response);
      answered?.({
        method: request.method,
        endpoint: endpointOf(request),
        status: response.statusCode,
        seconds: ms / 1000,
        traceId,
        problem,
        span,
        tenantId: caller?.tenantId,
      });
      const fields = {
        method: request.method,
        path: loggedPath(request),
        status: response.statusCode,
        execution_time_ms: Math.round(ms),
        request_id: requestId,
        trace_id: traceId,
        correlation_id: correlationId,
        tenant_id: caller?.tenantId,
        user_id: caller?.userId,
      };
      if (response.statusCode < 400) log.debug('http request', fields);
      else log.info('http request', fields);
    });
    next();
  };
}

/** The path of the operation: of requests to nowhere there may be any number of paths. */
function endpointOf(request: Request): string {
  const route = request.route as { path?: unknown } | undefined; // Express gives it no type.
  if (typeof route?.path === 'string') return route.path.replaceAll(/:(\w+)/g, '{$1}');
  return request.baseUrl === BOARD_PATH ? BOARD_PATH : 'other';
}
