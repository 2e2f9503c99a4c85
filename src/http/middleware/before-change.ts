/**
 * What is asked before an operation changes something: its request is parsed and nothing is stored. Where nobody wants to be
 * asked, no request passes anything of this.
 */
import type { Request, RequestHandler, Response } from 'express';
import type { Access } from '../../domain/access.ts';
import { isSecretKey, MASK } from '../../domain/texts/mask-secrets.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import { contextOf } from './context.ts';

/** Of an operation, what says how it is described. A bulk request is one change. */
export interface ChangeKind {
  /** Its id in the OpenAPI document, or `board`. */
  operation: string;
  path: string;
  summary: string;
}

export interface Change extends ChangeKind {
  /** The ids in its path, by their names; tokens are masked. */
  resource: Readonly<Record<string, string>>;
  /** Undefined: credentials are not required, as for a link whose token is one. */
  caller: Caller | undefined;
  access: Access | undefined;
  requestId: string;
  traceId: string;
  /** Aborted when the client goes away. */
  signal: AbortSignal;
}

/** Throws what the request is answered with when it may not go on. */
export type AskBefore = (change: Change) => Promise<void>;
/** Of an operation, once, when it is served: undefined where it does not want to be asked. */
export type BeforeChange = (kind: ChangeKind) => AskBefore | undefined;
export type CheckChange = (request: Request, response: Response, signal: AbortSignal) => Promise<void>;

interface ChangingOperation {
  id: string;
  method: string;
  path: string;
  summary: string;
}

/** A session can be ended whatever anybody decides. */
const NEVER_ASKED = new Set(['logout']);

export function changesSomething({ id, method }: Pick<ChangingOperation, 'id' | 'method'>): boolean {
  return method !== 'get' && !NEVER_ASKED.has(id);
}

/** Bull Board changes queues without being an operation. */
export function boardChange(path: string): ChangingOperation {
  const summary = 'Change a queue with Bull Board';
  return { id: 'board', method: 'post', path, summary };
}

/** Undefined: there is nothing to ask. */
export function changeCheck(hooks: readonly BeforeChange[] = [], op: ChangingOperation): CheckChange | undefined {
  if (!changesSomething(op)) return undefined;
  const kind: ChangeKind = { operation: op.id, path: op.path, summary: op.summary };
  const asks = hooks.flatMap((hook) => hook(kind) ?? []);
  if (asks.length === 0) return undefined;
  return async (request, response, signal) => {
    const { caller, access, requestId, traceId } = contextOf(response);
    const change = { ...kind, resource: resourceOf(request), caller, access, requestId, traceId, signal };
    for (const ask of asks) await ask(change);
  };
}

/** In front of a handler of Express. */
export function checking(check: CheckChange | undefined): RequestHandler[] {
  if (check === undefined) return [];
  return [
    async (request, response, next) => {
      if (request.method === 'GET' || request.method === 'HEAD') return next();
      const gone = new AbortController();
      const abort = () => gone.abort();
      response.once('close', abort);
      await check(request, response, gone.signal).finally(() => response.off('close', abort));
      next();
    },
  ];
}

function resourceOf({ params }: Request): Record<string, string> {
  return Object.fromEntries(
    Object.entries(params).map(([name, value]) => [name, isSecretKey(name) ? MASK : String(value)]),
  );
}
