/**
 * Messages of the topic of flow runs become runs. Many are accepted at the same time, so that they share statements; those of
 * one run one after the other, so that the first of them is the one that counts. What cannot be taken at the moment stays,
 * with all that comes after it; what can never be taken becomes a dead letter, and the partition goes on.
 */

import { describe, type ErrorCode, OrchestratorError } from '../../../domain/errors.ts';
import { errorMessage } from '../../../domain/texts/error-message.ts';
import type { Failpoint } from '../../../engine/ports/failpoint.ts';
import type { Logger } from '../../../engine/ports/logger.ts';
import type { FlowMetrics } from '../metrics.ts';
import type { Poison, StorePoison } from '../poison/ports.ts';
import type { TakeFlowRun } from '../ports.ts';
import type { FlowRunMessage } from '../schemas.ts';
import type { HandleMessages, IncomingMessage, PoisonCode } from '../transport/ports.ts';
import { callerOf } from './message-caller.ts';
import { type MessageRules, readFlowRun, withFaults } from './read-flow-run.ts';

export interface TakeFlowRunsDeps {
  takeFlowRun: TakeFlowRun;
  poison: StorePoison;
  rules: MessageRules;
  /** Whether a tenant may start runs now; counts one request of it. */
  mayStart(tenantId: string): Promise<boolean>;
  /** The store cannot be reached, or takes nothing. */
  passes(error: unknown): boolean;
  metrics: Pick<FlowMetrics, 'message'>;
  failpoint: Failpoint;
  log: Logger;
}

const AT_ONCE = 200;
/** An error that nobody expects may lie in the message: after so many tries it does. */
const MAX_TRIES = 10;
/** Messages whose tries are counted. */
const MAX_COUNTED = 1_000;

const OWN_CODES: ReadonlySet<ErrorCode> = new Set(['unknown_flow', 'unknown_handler', 'run_id_conflict']);
/** As it says over HTTP too, it passes; but not by itself, and others would wait for it. */
const REJECTED: ReadonlySet<ErrorCode> = new Set(['concurrency_limit']);

type Taken = { is: 'done' } | { is: 'poison'; poison: Poison } | { is: 'later'; error: unknown };
const DONE: Taken = { is: 'done' };

export function createTakeFlowRuns(deps: TakeFlowRunsDeps): HandleMessages {
  const { metrics, log } = deps;
  const tries = new Map<string, number>();

  async function take(
    message: IncomingMessage,
    request: FlowRunMessage,
    mayStart: TakeFlowRunsDeps['mayStart'],
  ): Promise<Taken> {
    if (!(await mayStart(request.tenant_id)))
      return { is: 'later', error: new Error('Too many requests of the tenant') };
    try {
      const { repeated } = await deps.takeFlowRun(callerOf(request, message.headers), request);
      metrics.message(message.topic, repeated ? 'repeated' : 'taken');
      return DONE;
    } catch (error) {
      return afterError(message, request, error);
    }
  }

  function afterError(message: IncomingMessage, request: FlowRunMessage, error: unknown): Taken {
    const poison = (code: PoisonCode, words: string): Taken => ({
      is: 'poison',
      poison: { message, code, error: words, tenantId: request.tenant_id },
    });
    if (error instanceof OrchestratorError && isFinal(error.code)) return poison(codeOf(error.code), withFaults(error));
    if (deps.passes(error) || (error instanceof OrchestratorError && error.code !== 'internal'))
      return { is: 'later', error };
    const place = `${message.topic}/${message.partition}/${message.offset}`;
    const tried = (tries.get(place) ?? 0) + 1;
    tries.delete(place);
    log.error('flow run failed', { place, tried, run_id: request.run_id, error: errorMessage(error) });
    if (tried >= MAX_TRIES) return poison('invalid_message', 'The message cannot be taken in: an internal error');
    tries.set(place, tried);
    for (const oldest of tries.keys()) {
      if (tries.size <= MAX_COUNTED) break;
      tries.delete(oldest);
    }
    return { is: 'later', error };
  }

  return async function handle(messages, signal) {
    await deps.failpoint('flow.afterPoll');
    const mayStart = once(deps.mayStart);
    const taken = new Array<Taken | undefined>(messages.length);
    const chains = new Map<string, Promise<unknown>>();
    let next = 0;
    let stopped = false;
    const takeInTurn = (message: IncomingMessage): Promise<Taken> => {
      const read = readFlowRun(message, deps.rules);
      if (!read.ok) {
        const { code, error, tenantId } = read;
        return Promise.resolve({ is: 'poison', poison: { message, code, error, tenantId } });
      }
      const { request } = read;
      const name = JSON.stringify([request.tenant_id, request.run_id]);
      const taking = (chains.get(name) ?? Promise.resolve()).then(() => take(message, request, mayStart));
      chains.set(name, taking);
      return taking;
    };
    const worker = async () => {
      while (!stopped && !signal.aborted) {
        const at = next;
        const message = messages[at];
        if (message === undefined) return;
        next += 1;
        const result = await takeInTurn(message);
        taken[at] = result;
        if (result.is === 'later') stopped = true;
      }
    };
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, messages.length) }, worker));
    const open = taken.findIndex((one) => one === undefined || one.is === 'later');
    const done = open === -1 ? messages.length : open;
    await storePoison(taken.slice(0, done));
    const first = taken[done];
    if (first?.is === 'later') noteRest(messages[done], first.error);
    await deps.failpoint('flow.beforeOffset');
    return done;
  };

  async function storePoison(taken: ReadonlyArray<Taken | undefined>): Promise<void> {
    const poison = taken.flatMap((one) => (one?.is === 'poison' ? [one.poison] : []));
    if (poison.length === 0) return;
    await deps.poison(poison);
    for (const { message, code, error } of poison) {
      metrics.message(message.topic, 'poison');
      const { topic, partition, offset, key } = message;
      log.warn('a message became a dead letter', { topic, partition, offset, key, code, error });
    }
  }

  function noteRest(message: IncomingMessage | undefined, error: unknown): void {
    const { topic, partition, offset } = message ?? {};
    const why = errorMessage(error);
    log.warn('a partition of flow runs rests', { topic, partition, offset, error: why });
  }
}

function isFinal(code: ErrorCode): boolean {
  return REJECTED.has(code) || !describe(code).retryable;
}

function codeOf(code: ErrorCode): PoisonCode {
  return OWN_CODES.has(code) ? (code as PoisonCode) : 'invalid_message'; // The set says that it is one.
}

/** One question for each tenant of a batch, as one request may bring many runs over HTTP too. */
function once(mayStart: TakeFlowRunsDeps['mayStart']): TakeFlowRunsDeps['mayStart'] {
  const asked = new Map<string, Promise<boolean>>();
  return (tenantId) => {
    const known = asked.get(tenantId) ?? mayStart(tenantId);
    asked.set(tenantId, known);
    return known;
  };
}
