/**
 * One operation of the API: its path, what it takes, what it answers. Routes are served from it and the OpenAPI
 * document is written from it, so the two cannot differ. Paths are spelled as OpenAPI spells them: `/result/{task_id}`.
 */
import type { Express, Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import type { Needed } from '../../domain/access.ts';
import { type ErrorCode, OrchestratorError } from '../../domain/errors.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import type { Json } from '../../schemas/json.ts';
import { guardJson } from '../../schemas/json-guard.ts';
import { markOperation } from '../middleware/audit-requests.ts';
import { hasPermission, permit } from '../middleware/authorise.ts';
import { type BeforeChange, type CheckChange, changeCheck, checking } from '../middleware/before-change.ts';
import { bodyOf } from '../middleware/body.ts';
import { callerOf } from '../middleware/context.ts';
import { detailOf, parse } from './parse.ts';
import { sendProblem } from './problem.ts';

export type Method = 'get' | 'post' | 'put' | 'delete';
export type Tag =
  | 'Tasks'
  | 'Workflows'
  | 'Executions'
  | 'Sessions'
  | 'Schedules'
  | 'Webhooks'
  | 'Secrets'
  | 'Registry'
  | 'Platform'
  | 'Infrastructure'
  | 'Service';
/** The literal detail of its 404. */
export type NotFound =
  | 'Workflow not found'
  | 'Execution not found'
  | 'Task not found'
  | 'Schedule not found'
  | 'Webhook not found'
  | 'Secret not found'
  | 'Session not found'
  | 'Delivery not found'
  | 'Lane not found'
  | 'Service not found'
  | 'Dead letter not found'
  | 'Error group not found'
  | 'Saga not found'
  | 'Template not found'
  | 'Document not found'
  | 'API key not found'
  | 'Tenant not found'
  | 'Erasure not found'
  | 'Operation not found'
  | 'Orchestration not found';

export interface Answer {
  description: string;
  schema?: z.ZodType;
  /** application/json when left out. */
  mediaType?: string;
  /** What else it may be: media type -> schema. */
  others?: Record<string, z.ZodType>;
  /** Of an event stream: the schema of `data` by the name of the event; `*`: of all others. Each has an id. */
  events?: Readonly<Record<string, z.ZodType>>;
  headers?: Record<string, string>;
}

export interface Operation<B extends z.ZodType = z.ZodType, Q extends z.ZodType = z.ZodType> {
  id: string;
  /** What the caller must be allowed; nothing of the request but its head is read before. */
  permission: Needed;
  /** A signature that stands for credentials, as the document calls it. */
  signedBy?: 'webhook' | 'peer';
  tag: Tag;
  method: Method;
  path: string;
  /** Of parameters of the path that may be longer than an id, or put together of several. */
  lengths?: Readonly<Record<string, number>>;
  /** Of parameters of the path, for the document, where their names do not say enough. */
  pathExamples?: Readonly<Record<string, string>>;
  summary: string;
  description?: string;
  body?: B;
  /** Shown in the document instead of `body`, where the real check happens later. */
  bodyDocument?: z.ZodType;
  /** What else the body may be, for the document: media type -> schema. */
  bodyOthers?: Record<string, z.ZodType>;
  /** No body is read as `{}`. */
  bodyOptional?: boolean;
  query?: Q;
  /** Request headers besides the common ones: name -> description. */
  headers?: Record<string, string>;
  notFound?: NotFound;
  answers: Record<number, Answer>;
  /** Codes of its problem documents besides those of `codesOf`, which follow from the rest of the operation. */
  problems?: readonly ErrorCode[];
  /** Those that are a page for a caller that prefers text/html to JSON. */
  problemPages?: number[];
}

export interface Call<B extends z.ZodType, Q extends z.ZodType> {
  body: z.output<B>;
  query: z.output<Q>;
  params: Record<string, string>;
  caller: Caller;
  request: Request;
  response: Response;
  /** Aborted when the client goes away or its time is up. */
  signal: AbortSignal;
  /** The answer goes on for as long as it takes: from here its time is never up. */
  stream(): void;
}

/** Without parameters, and what is sent is ignored. */
export const nothing = z.object({});

export function operation<B extends z.ZodType = typeof nothing, Q extends z.ZodType = typeof nothing>(
  definition: Operation<B, Q>,
): Operation<B, Q> {
  return definition;
}

const REQUEST_SECONDS = 30;
export const MAX_ID_LENGTH = 255;

/** Does the work for the tenant of that caller alone; what it logs carries the caller's ids. */
export type InTenant = <T>(caller: Caller, work: () => T) => T;

/**
 * Operations that are served together: one line of the table of routes. The router serves what the OpenAPI document and the
 * table of permissions list, because all of them read `operations`. `Needs`: what the handlers work with.
 */
export interface Endpoints<Needs> {
  operations: readonly Operation[];
  serve: (routes: Routes, needs: Needs) => void;
}

export function endpoints<Needs>(operations: readonly Operation[], serve: Endpoints<Needs>['serve']): Endpoints<Needs> {
  return { operations, serve };
}

/** Endpoints with what they need. */
export type BoundEndpoints = Endpoints<void>;

export function bind<Needs>(tables: ReadonlyArray<Endpoints<Needs>>, needs: Needs): BoundEndpoints[] {
  return tables.map(({ operations, serve }) => ({ operations, serve: (routes) => serve(routes, needs) }));
}

export interface Routes {
  serve<B extends z.ZodType, Q extends z.ZodType>(
    op: Operation<B, Q>,
    handle: (call: Call<B, Q>) => Promise<void> | void,
  ): void;
  /** Operations that read no schema and need no caller: liveness, readiness. Also plain handlers (`/metrics`). */
  raw(op: Operation, handler: RequestHandler): void;
  operations(): Operation[];
  /** Paths with fixed words before those with ids instead; each also answers OPTIONS, and 405 to what it does not take. */
  mount(app: Express, readBody: RequestHandler): void;
}

/** Throws when a table lists an operation that it does not serve, or serves one that it does not list. */
export function createRoutes(
  tables: readonly BoundEndpoints[],
  inTenant: InTenant,
  beforeChange?: readonly BeforeChange[],
): Routes {
  const entries: Array<{ op: Operation; handlers: RequestHandler[] }> = [];
  const routes: Routes = {
    serve(op, handle) {
      // A query and body of any schema: the entry has only what the document needs.
      const entry = op as unknown as Operation;
      const check = changeCheck(beforeChange, entry);
      entries.push({ op: entry, handlers: [handlerOf(op, handle, { inTenant, check })] });
    },
    raw(op, handler) {
      entries.push({ op, handlers: [...checking(changeCheck(beforeChange, op)), handler] });
    },
    operations: () => entries.map(({ op }) => op),
    mount(app, readBody) {
      for (const path of [...new Set(entries.map(({ op }) => op.path))].sort(bySpecificity)) {
        const here = entries.filter(({ op }) => op.path === path);
        const route = app.route(expressPath(path));
        for (const { op, handlers } of here) {
          const reading = op.body === undefined ? [] : [readBody];
          route[op.method](markOperation(op), permit(op.permission), ...reading, ...handlers);
        }
        route.all(otherMethods(here.map(({ op }) => op.method)));
      }
    },
  };
  for (const { operations, serve } of tables) {
    const before = entries.length;
    serve(routes);
    const served = new Set(entries.slice(before).map(({ op }) => op));
    const wrong = [...new Set([...operations, ...served])].filter((op) => !served.has(op) || !operations.includes(op));
    if (wrong.length > 0) throw new Error(`listed and served differ in ${wrong.map(({ id }) => id).join(', ')}`);
  }
  return routes;
}

/** At the first segment in which they differ a fixed word comes first: `/workflows/search` before `/workflows/{workflow_id}`. */
function bySpecificity(one: string, other: string): number {
  const rank = (path: string) => path.split('/').map((part) => (part.startsWith('{') ? undefined : part));
  const [left, right] = [rank(one), rank(other)];
  for (const [index, part] of left.entries()) {
    const beside = right[index];
    if (part === beside) continue;
    if (part === undefined || (beside !== undefined && beside < part)) return 1;
    return -1;
  }
  return left.length - right.length;
}

export function expressPath(path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, ':$1');
}

function otherMethods(methods: Method[]): RequestHandler {
  const allow = [
    ...methods.map((method) => method.toUpperCase()),
    ...(methods.includes('get') ? ['HEAD'] : []),
    'OPTIONS',
  ].join(', ');
  return (request, response) => {
    response.setHeader('Allow', allow);
    if (request.method === 'OPTIONS') response.status(204).end();
    else throw new OrchestratorError('method_not_allowed', `${request.method} is not allowed here; allowed: ${allow}`);
  };
}

function handlerOf<B extends z.ZodType, Q extends z.ZodType>(
  op: Operation<B, Q>,
  handle: (call: Call<B, Q>) => Promise<void> | void,
  { inTenant, check }: { inTenant: InTenant; check: CheckChange | undefined },
): RequestHandler {
  return async (request, response) => {
    const caller: Caller = { ...callerOf(response), may: (permission) => hasPermission(response, permission) };
    rejectLongHeaders(request);
    const params = pathParameters(op.lengths, request);
    const query = queryOf(op, request);
    const body = parseBody(op, bodyOf(request));
    const waitSeconds = secondsOf(query, 'wait') + secondsOf(body, 'wait_seconds');
    const ended = new AbortController();
    let handled = false;
    // To abort costs a stack trace, and after the answer nobody listens.
    response.once('close', () => {
      if (!handled) ended.abort();
    });
    const timer = setTimeout(
      () => {
        sendProblem(request, response, new OrchestratorError('unavailable', 'The request took too long'));
        ended.abort();
      },
      (REQUEST_SECONDS + waitSeconds) * 1000,
    );
    try {
      const stream = () => clearTimeout(timer);
      const call = { body, query, params, caller, request, response, signal: ended.signal, stream };
      if (check !== undefined) await check(request, response, ended.signal);
      await inTenant(caller, () => handle(call));
    } finally {
      handled = true;
      clearTimeout(timer);
    }
  };
}

/** How long the client itself is ready to wait. */
function secondsOf(fields: unknown, name: string): number {
  if (typeof fields !== 'object' || fields === null || !Object.hasOwn(fields, name)) return 0;
  return Number((fields as Record<string, unknown>)[name]); // Its own, as the schema has parsed it.
}

function queryOf<Q extends z.ZodType>(op: Operation<z.ZodType, Q>, request: Request): z.output<Q> {
  const faults = guardJson(request.query);
  if (faults.length > 0) throw new OrchestratorError('invalid_request', detailOf(faults), { errors: faults });
  // Without a schema the type is that of `nothing`.
  return parse((op.query ?? nothing) as Q, request.query);
}

function parseBody<B extends z.ZodType>(op: Operation<B>, body: Json | undefined): z.output<B> {
  const schema = (op.body ?? nothing) as B; // Likewise.
  if (op.body === undefined) return parse(schema, {});
  if (body === undefined && op.bodyOptional !== true) {
    throw new OrchestratorError('invalid_request', 'A JSON body is required', {
      errors: [{ path: '', message: 'a JSON body is required' }],
    });
  }
  return parse(schema, body ?? {});
}

/** An id that cannot be one is a wrong request, and never reaches the database. */
function pathParameters(lengths: Operation['lengths'], request: Request): Record<string, string> {
  const params: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.params)) {
    const longest = lengths?.[name] ?? MAX_ID_LENGTH;
    if (typeof value !== 'string' || value.length > longest || value.includes('\u0000')) throw notAnId(name, longest);
    params[name] = value;
  }
  return params;
}

/** Ids that only travel along are taken over from headers; one that is insane otherwise is replaced by one of ours. */
function rejectLongHeaders(request: Request): void {
  for (const name of ['X-Correlation-ID', 'X-Request-Id'])
    if ((request.get(name)?.length ?? 0) > MAX_ID_LENGTH) throw notAnId(name);
}

function notAnId(path: string, longest = MAX_ID_LENGTH): OrchestratorError {
  const message = `must be text of at most ${longest} characters`;
  return new OrchestratorError('invalid_request', `${path} ${message}`, { errors: [{ path, message }] });
}

export function notFound(detail: NotFound): OrchestratorError {
  return new OrchestratorError('not_found', detail);
}

/** Does nothing when the answer has already been given (the time was up). */
export function sendJson(response: Response, status: number, body: object | Json): void {
  if (response.headersSent) return;
  const bytes = Buffer.from(JSON.stringify(body));
  response.status(status);
  response.setHeader('Content-Type', 'application/json; charset=utf-8');
  if (!response.hasHeader('Cache-Control')) response.setHeader('Cache-Control', 'no-store');
  response.setHeader('Content-Length', bytes.length);
  response.end(bytes);
}
