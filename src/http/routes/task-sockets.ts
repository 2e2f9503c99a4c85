/**
 * `WS /ws/task/{task_id}`: how a task stands, until it has ended. The first message comes at once, others with every change
 * and at least every two seconds; the last one has `final: true`. What a task streams comes in between, with `event`.
 *
 * The same people may come in as through HTTP. A browser, which cannot set headers, names its key as a subprotocol
 * (`bearer`, then the key): a key in the address would end up in logs. Pages of other sites are refused unless CORS lets them.
 */

import type { IncomingMessage, Server } from 'node:http';
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { allows } from '../../domain/access.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import { FROM_THE_START } from '../../domain/runs/run-events.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import { isoText } from '../../domain/texts/iso-text.ts';
import type { TaskState, TaskStates } from '../../engine/deliver/task-states.ts';
import type { FollowRuns } from '../../engine/follow/follow-run.ts';
import type { Audit } from '../../engine/ports/audit.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import type { Identify, Identity } from '../auth/identify.ts';
import { type AuthRequest, authRequestOf } from '../auth/presented.ts';
import { deniedUpgrade } from '../middleware/audit-upgrades.ts';
import { challengeOf } from '../middleware/authenticate.ts';
import { type RequestContext, readContext } from '../middleware/context.ts';
import { ignoredUpgrade } from '../middleware/ignore-upgrade.ts';
import { type ApiLimits, addressIn, createGuesses, overLimit } from '../middleware/limits.ts';
import { isOneOf, isOwn, lets } from '../middleware/origins.ts';
import { watchCredentials } from '../middleware/watch-credentials.ts';
import { presentTaskOutput, presentTaskState } from '../present/events.ts';
import { MAX_ID_LENGTH } from '../server/operation.ts';
import { CLOSE } from './task-socket.ts';

export interface TaskSocketsDeps {
  identify: Identify;
  config: {
    corsOrigins: readonly string[];
    hostNames?: readonly string[] | undefined;
    sockets?: { max?: number; repeatMs?: number; pingMs?: number; patienceMs?: number; credentialsMs?: number };
  };
  inTenant<T>(caller: Caller, work: () => T): T;
  events: Pick<FollowRuns, 'follow'>;
  states: TaskStates;
  clock: { now(): Date };
  limits?: ApiLimits;
  audit?: Pick<Audit, 'denied'>;
  log: Logger;
}

export interface TaskSockets {
  /** Says goodbye to everybody; resolves when all connections are gone. */
  close(): Promise<void>;
}

interface Asking {
  request: IncomingMessage;
  taskId: string;
  stream: Duplex;
  head: Buffer;
  /** As the authentication reads it. */
  asked: AuthRequest;
  context: RequestContext;
}

const PATH = /^\/ws\/task\/([^/]+)\/?$/;
const MAX_SOCKETS = 1_000;
/** Older clients expect a message that often. */
const REPEAT_MS = 2_000;
const PING_MS = 15_000;
/** A reader that takes nothing for so long is let go; until then one message waits for it. */
const PATIENCE_MS = 30_000;
/** Whatever happens in a run, its state is read no more often than that for each who watches. */
const LOOK_EVERY_MS = 200;
/** Clients have nothing to say. */
const MAX_PAYLOAD_BYTES = 1_024;
const GOODBYE_MS = 1_000;

export function attachTaskSockets(server: Server, deps: TaskSocketsDeps): TaskSockets {
  const { max = MAX_SOCKETS, pingMs = PING_MS } = deps.config.sockets ?? {};
  const guesses = deps.limits && createGuesses(deps.limits);
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_PAYLOAD_BYTES,
    perMessageDeflate: false,
    // The key that came beside it must not be sent back.
    handleProtocols: (offered) => (offered.has('bearer') ? 'bearer' : false),
  });
  const alive = new WeakSet<WebSocket>();
  const pings = setInterval(() => {
    for (const socket of sockets.clients) {
      if (!alive.delete(socket)) socket.terminate();
      else socket.ping();
    }
  }, pingMs);
  pings.unref();

  /** Rejected, and written to the audit. */
  function deny(asking: Asking, status: 401 | 403, identity?: Identity): undefined {
    const { request, taskId, stream, context } = asking;
    const { remoteAddress = '' } = request.socket;
    const address = deps.limits === undefined ? remoteAddress : addressIn(request, deps.limits.addressOf);
    deps.audit?.denied(deniedUpgrade({ request, context, identity, address, taskId, status }));
    const presented = identity !== undefined && 'presented' in identity && identity.presented;
    return refuse(stream, status, challengeOf(presented));
  }

  async function admit(found: Identity, asking: Asking): Promise<undefined> {
    const { request, taskId, stream, head } = asking;
    if (!('caller' in found)) {
      const tooMany = found.presented && found.fromCookie !== true ? await guesses?.count(request) : undefined;
      if (tooMany !== undefined) return refuse(stream, 429, undefined, tooMany.resetSeconds);
      return deny(asking, 401, found);
    }
    const over = deps.limits === undefined ? undefined : await overLimit(deps.limits, found, request);
    if (over !== undefined) return refuse(stream, 429, undefined, over.resetSeconds);
    if (!allows({ tenantId: found.caller.tenantId, access: found.access }, 'executions:read')) {
      return deny(asking, 403, found);
    }
    if (sockets.clients.size >= max) return refuse(stream, 503);
    // Who asks may have been looked up while the client went away.
    if (stream.destroyed) return undefined;
    const place = deps.limits?.streams.take(found.caller.tenantId);
    if (deps.limits !== undefined && place === undefined) return refuse(stream, 429);
    stream.once('close', () => place?.release());
    sockets.handleUpgrade(request, stream, head, (socket) => {
      alive.add(socket);
      socket.on('pong', () => alive.add(socket));
      socket.on('error', () => socket.terminate());
      const { caller } = found;
      const opened = { request: asking.asked, context: asking.context, caller, needed: 'executions:read' as const };
      const watch = watchCredentials(
        { identify: deps.identify, everyMs: deps.config.sockets?.credentialsMs },
        opened,
        () => {
          socket.close(CLOSE.unauthorized, 'the credentials are over');
          setTimeout(() => socket.terminate(), GOODBYE_MS).unref();
        },
      );
      socket.once('close', watch.stop);
      deps
        .inTenant(caller, () => serve(socket, caller, taskId, deps))
        .catch((error: unknown) => {
          deps.log.warn('socket_failed', {
            task_id: taskId,
            error: errorMessage(error),
          });
          socket.close(CLOSE.internal);
        });
    });
    return undefined;
  }

  server.on('upgrade', (request: IncomingMessage, stream: Duplex, head: Buffer) => {
    stream.on('error', () => stream.destroy());
    try {
      if (ignoredUpgrade(server, request, stream, head)) return undefined;
      const taskId = taskIdOf(request.url ?? '');
      if (taskId === undefined) return refuse(stream, 404);
      if (taskId.length > MAX_ID_LENGTH) return refuse(stream, 400);
      const { corsOrigins, hostNames } = deps.config;
      const asked = withSubprotocol(request);
      const context = readContext(asked);
      const asking = { request, taskId, stream, head, asked, context };
      if (hostNames !== undefined && !isOneOf(hostNames, request.headers.host)) return deny(asking, 403);
      if (!isFriendly(request, corsOrigins)) return deny(asking, 403);
      deps.limits?.noticeForwarding?.(request);
      const found = deps.identify(asked, context);
      Promise.resolve(found)
        .then((identity) => admit(identity, asking))
        .catch((error: unknown) => refuseFor(stream, error, 503));
    } catch (error) {
      refuseFor(stream, error);
    }
    return undefined;
  });

  return {
    async close() {
      clearInterval(pings);
      const gone = [...sockets.clients].map(
        (socket) =>
          new Promise<void>((resolve) => {
            socket.once('close', () => resolve());
            socket.close(CLOSE.goingAway, 'the service is stopping');
            setTimeout(() => socket.terminate(), GOODBYE_MS).unref();
          }),
      );
      await Promise.all(gone);
      sockets.close();
    },
  };
}

async function serve(socket: WebSocket, caller: Caller, taskId: string, deps: TaskSocketsDeps): Promise<void> {
  const { repeatMs = REPEAT_MS, patienceMs = PATIENCE_MS } = deps.config.sockets ?? {};
  const gone = new AbortController();
  socket.once('close', () => gone.abort());
  const { signal } = gone;
  const write = writer(socket, patienceMs);
  const read = () => deps.states.read(caller.tenantId, taskId);
  const tell = (state: TaskState) => write(presentTaskState(taskId, state));

  let state = await read();
  if (state === undefined) {
    await write({
      task_id: taskId,
      error: 'Task not found',
      code: 'not_found',
      timestamp: isoText(deps.clock.now()),
      final: true,
    });
    return socket.close(CLOSE.notFound, 'Task not found');
  }
  await tell(state);
  if (state.final) return socket.close(CLOSE.normal);

  // Says it again when nothing has changed, unless the reader is still busy with the one before.
  const repeats = setInterval(() => {
    if (state !== undefined && !write.busy()) void tell({ ...state, at: deps.clock.now() });
  }, repeatMs);
  const look = throttled(async () => {
    const fresh = await read();
    const changed = fresh !== undefined && wordsOf(fresh) !== (state === undefined ? '' : wordsOf(state));
    state = fresh;
    // The end is sent below, once.
    if (changed && !fresh.final) await tell(fresh);
  }, LOOK_EVERY_MS);
  try {
    const end = await deps.events.follow({
      tenantId: caller.tenantId,
      runId: taskId,
      after: FROM_THE_START,
      signal,
      start: () => undefined,
      async take() {
        look.soon();
        return !signal.aborted;
      },
      async takeLive(messages) {
        look.soon();
        for (const message of messages)
          if (message.kind !== 'task.progress') await write(presentTaskOutput(taskId, message));
        return !signal.aborted;
      },
    });
    await look.stop();
    const last = end === 'left' ? undefined : await read();
    if (last?.final === true) await tell(last);
    socket.close(last?.final === true ? CLOSE.normal : CLOSE.goingAway);
  } catch (error) {
    if (!(error instanceof OrchestratorError) || error.code !== 'overloaded') throw error;
    socket.close(CLOSE.tryAgainLater, 'too many readers');
  } finally {
    clearInterval(repeats);
    await look.stop();
  }
  return undefined;
}

function wordsOf({ status, progress, message, final }: TaskState): string {
  return JSON.stringify([status, progress, message, final]);
}

/** One message at a time; who does not take it in time is let go. */
function writer(socket: WebSocket, patienceMs: number): ((message: object) => Promise<void>) & { busy(): boolean } {
  let waiting = 0;
  const write = (message: object) =>
    new Promise<void>((resolve) => {
      if (socket.readyState !== socket.OPEN) return resolve();
      waiting += 1;
      const late = setTimeout(() => socket.terminate(), patienceMs);
      const done = () => {
        clearTimeout(late);
        waiting -= 1;
        resolve();
      };
      socket.send(JSON.stringify(message), done);
      return undefined;
    });
  return Object.assign(write, { busy: () => waiting > 0 });
}

/** Does `work` soon after it was asked for, at most once in `everyMs`; its faults are left to the next time. */
function throttled(work: () => Promise<void>, everyMs: number): { soon(): void; stop(): Promise<void> } {
  let timer: NodeJS.Timeout | undefined;
  let working: Promise<void> = Promise.resolve();
  let stopped = false;
  const soon = () => {
    if (timer !== undefined || stopped) return;
    timer = setTimeout(() => {
      working = work()
        .catch(() => undefined)
        .then(() => {
          timer = undefined;
          if (again) {
            again = false;
            soon();
          }
        });
    }, everyMs);
  };
  let again = false;
  return {
    soon() {
      // What is being read may be older than what made this necessary.
      if (timer === undefined) soon();
      else again = true;
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await working;
    },
  };
}

function taskIdOf(url: string): string | undefined {
  const id = PATH.exec(url.split('?', 1)[0] ?? '')?.[1];
  try {
    return id === undefined ? undefined : decodeURIComponent(id);
  } catch {
    return undefined;
  }
}

/** Of our own pages, of pages that CORS lets in, or of no page at all. */
function isFriendly({ headers }: IncomingMessage, corsOrigins: readonly string[]): boolean {
  const { origin, host } = headers;
  return origin === undefined || lets(corsOrigins, origin) || isOwn(origin, host);
}

/** The key of a browser, which cannot set headers, is where a header would have it. */
function withSubprotocol(request: IncomingMessage): AuthRequest {
  const asked = authRequestOf(request);
  const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
  const [first, key] = offered;
  if (first !== 'bearer' || key === undefined) return asked;
  const lines = request.headersDistinct['authorization'] ?? [];
  return { ...asked, headersDistinct: { ...asked.headersDistinct, authorization: [...lines, `Bearer ${key}`] } };
}

/** `otherwise`: what an error that is none of ours means. */
function refuseFor(stream: Duplex, error: unknown, otherwise = 400): undefined {
  return refuse(stream, error instanceof OrchestratorError ? error.status : otherwise);
}

function refuse(stream: Duplex, status: number, challenge = challengeOf(false), retrySeconds = 5): undefined {
  const authenticate = status === 401 ? `WWW-Authenticate: ${challenge}\r\n` : '';
  const retry = status === 503 || status === 429 ? `Retry-After: ${retrySeconds}\r\n` : '';
  stream.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${authenticate}${retry}Content-Length: 0\r\nConnection: close\r\n\r\n`,
  );
  return undefined;
}
