/**
 * Writes requests to the audit, once the answer is ready: the answer to a manual change waits until its entry is written,
 * what comes by the thousand (executions, tasks) and what was denied does not.
 */
import type { Request, RequestHandler, Response } from 'express';
import { isSecretKey, MASK } from '../../domain/texts/mask-secrets.ts';
import { type Audit, type AuditEvent, NOBODYS_CHAIN } from '../../engine/ports/audit.ts';
import type { Json } from '../../schemas/json.ts';
import { loggedPath } from '../server/problem.ts';
import { bodyOf } from './body.ts';
import { plainAddress } from './client-address.ts';
import { contextOf } from './context.ts';

/** Of an operation, what says how it is audited. */
export interface AuditedOperation {
  id: string;
  method: string;
  path: string;
  permission?: string;
}

/** The row that they make is the record; their entry follows within a second. */
export const NOTED_OPERATIONS: ReadonlySet<string> = new Set([
  ...['assignTask', 'assignTasks', 'executeWorkflow', 'executeWorkflowMany', 'receiveEvents', 'sendSignal'],
  ...['completeTask', 'failTask', 'ingest', 'runWorkflow', 'recalcQuality', 'notifyConsolidation', 'saveDocument'],
  ...['requestReport', 'suggestSummary', 'demoE2e', 'replicate'],
]);
/** They only say that somebody is there, all the time: audited with the reads. */
export const HEARTBEATS: ReadonlySet<string> = new Set(['pollTasks', 'heartbeatTask', 'heartbeatService']);
/** Reads that are audited in any case. */
export const SENSITIVE_READS: ReadonlySet<string> = new Set([
  'listAudit',
  'getEffectiveConfig',
  'exportTenant',
  'finishLogin',
]);
/** What stands in their queries is a credential, or leads to one. */
const UNTOLD_QUERIES: ReadonlySet<string> = new Set(['finishLogin']);
const SENSITIVE_PERMISSIONS = /^(?:audit|secrets|keys|data):/;

export type Weight = 'waits' | 'noted' | 'read';

export function weightOf({ id, method, permission = '' }: AuditedOperation): Weight {
  if (HEARTBEATS.has(id)) return 'read';
  if (NOTED_OPERATIONS.has(id)) return 'noted';
  if (method !== 'get') return 'waits';
  return SENSITIVE_READS.has(id) || SENSITIVE_PERMISSIONS.test(permission) ? 'noted' : 'read';
}

interface Marked {
  op: AuditedOperation;
  params: Request['params'];
}

const marked = new WeakMap<Response, Marked>();

/** In front of the handler of an operation: from here the operation is recorded, also when it fails. */
export function markOperation(op: AuditedOperation): RequestHandler {
  return (request, response, next) => {
    marked.set(response, { op, params: request.params });
    next();
  };
}

/** For an operation whose permission depends on the request. */
export function markPermission(response: Response, permission: string): void {
  const mark = marked.get(response);
  if (mark !== undefined) marked.set(response, { ...mark, op: { ...mark.op, permission } });
}

interface AuditScope {
  /** Requests that only read are recorded too. */
  reads: boolean;
  /** Bull Board changes queues without being an operation. */
  isBoard(path: string): boolean;
}

/** Comes right after the context. */
export function auditRequests(audit: Audit, scope: AuditScope): RequestHandler {
  return (request, response, next) => {
    const end = response.end.bind(response) as (...args: unknown[]) => Response; // Whichever of its forms is called.
    let ended = false;
    response.end = ((...args: unknown[]) => {
      if (ended) return response;
      ended = true;
      const written = record(audit, request, response, scope);
      if (written === undefined || response.headersSent) return end(...args);
      // From here on nobody else starts an answer.
      response.writeHead(response.statusCode);
      void written.finally(() => end(...args));
      return response;
    }) as Response['end'];
    next();
  };
}

/** A promise: the answer waits for it. */
function record(
  audit: Audit,
  request: Request,
  response: Response,
  { reads, isBoard }: AuditScope,
): Promise<void> | undefined {
  const mark = marked.get(response);
  const status = response.statusCode;
  const denied = status === 401 || status === 403;
  const safe = request.method === 'GET' || request.method === 'HEAD' || request.method === 'OPTIONS';
  const board = mark === undefined && isBoard(request.originalUrl);
  if (mark === undefined && !denied && !(board && !safe)) return undefined;
  const weight = mark === undefined ? 'waits' : weightOf(mark.op);
  if (weight === 'read' && !reads && !denied) return undefined;
  // Who had no session has not ended one.
  if (mark?.op.id === 'logout' && contextOf(response).caller === undefined && status < 400) return undefined;
  const event = eventOf(request, response, mark, board ? 'board' : 'unknown');
  // An invalid request changed nothing: it is counted like what was denied.
  if (denied || (status >= 400 && status < 500)) audit.denied(event);
  else if (weight === 'waits' && status < 500) return audit.write(event);
  else audit.note(event);
  return undefined;
}

const MAX_FIELDS = 30;
const MAX_QUERY = 200;

function eventOf(request: Request, response: Response, mark: Marked | undefined, otherwise: string): AuditEvent {
  const { requestId, traceId, caller, access, problem } = contextOf(response);
  const status = response.statusCode;
  return {
    tenant_id: caller?.tenantId ?? NOBODYS_CHAIN,
    actor: caller?.userId ?? 'unknown',
    means: access?.means ?? 'unknown',
    credential: access?.credential ?? null,
    action: mark?.op.id ?? otherwise,
    permission: mark?.op.permission ?? null,
    ...resourceOf(mark, response),
    address: request.ip === undefined ? null : plainAddress(request.ip),
    user_agent: request.get('user-agent')?.slice(0, 256) ?? null,
    decision:
      status === 401 || status === 403 ? 'denied' : status >= 500 ? 'failed' : status >= 400 ? 'refused' : 'allowed',
    reason: problem ?? null,
    status,
    request_id: requestId,
    trace_id: traceId,
    details: detailsOf(request, mark, response),
  };
}

/** The first id in the path, else what was made. */
function resourceOf(mark: Marked | undefined, response: Response): Pick<AuditEvent, 'resource_type' | 'resource_id'> {
  if (mark === undefined) return { resource_type: null, resource_id: null };
  const words = mark.op.path.split('/').filter((word) => word !== '');
  const at = words.findIndex((word) => word.startsWith('{'));
  const name = words[at]?.slice(1, -1);
  if (name === undefined) return { resource_type: words[0] ?? null, resource_id: createdBy(response) };
  const type = /_id$/.test(name) ? name.replace(/_id$/, '') : (words[at - 1] ?? name);
  return { resource_type: type, resource_id: isSecretKey(name) ? MASK : textOf(mark.params[name]) };
}

function createdBy(response: Response): string | null {
  const location = response.getHeader('location');
  return typeof location === 'string' ? (location.split('?', 1)[0]?.split('/').at(-1) ?? null) : null;
}

function detailsOf(request: Request, mark: Marked | undefined, response: Response): Record<string, Json> {
  if (mark === undefined) {
    const { caller, claimedTenant } = contextOf(response);
    const claimed = caller === undefined && claimedTenant !== undefined ? { tenant: claimedTenant } : {};
    return { method: request.method, path: loggedPath(request).slice(0, MAX_QUERY), ...claimed };
  }
  const body = bodyOf(request);
  const isObject = typeof body === 'object' && body !== null && !Array.isArray(body);
  const others = Object.entries(mark.params).slice(1);
  const query = UNTOLD_QUERIES.has(mark.op.id) ? [] : Object.entries(request.query).slice(0, MAX_FIELDS);
  const made = Object.keys(mark.params).length > 0 ? createdBy(response) : null;
  return {
    ...(others.length > 0 ? { path: masked(others) } : {}),
    ...(query.length > 0 ? { query: masked(query) } : {}),
    // What stands in them may be anybody's secret.
    ...(isObject
      ? {
          fields: Object.keys(body)
            .slice(0, MAX_FIELDS)
            .map((key) => key.slice(0, 64)),
        }
      : {}),
    ...(made === null ? {} : { created: made }),
  };
}

function masked(values: ReadonlyArray<[string, unknown]>): Record<string, Json> {
  return Object.fromEntries(
    values.map(([key, value]) => [
      key.slice(0, 64),
      isSecretKey(key) ? MASK : (textOf(value)?.slice(0, MAX_QUERY) ?? null),
    ]),
  );
}

function textOf(value: unknown): string | null {
  return value === undefined ? null : String(value);
}
