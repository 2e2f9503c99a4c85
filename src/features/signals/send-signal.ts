/** Messages to a run: checked against its definition, stored, and given to the task that waits first. */

import { declaredSignals } from '../../domain/definition/signals.ts';
import { type FieldFault, OrchestratorError } from '../../domain/errors.ts';
import { taskJobId } from '../../domain/graph/compile.ts';
import { makeStorable } from '../../domain/runs/storable.ts';
import type { Plans } from '../../engine/accept/plans.ts';
import { requestHash } from '../../engine/accept/request-hash.ts';
import { type TextChecker, withChecks } from '../../engine/accept/with-checks.ts';
import { makeDue } from '../../engine/deliver/wake-tasks.ts';
import type { Failpoint } from '../../engine/ports/failpoint.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { FlowQueue } from '../../engine/ports/queue.ts';
import type { RunRow } from '../../engine/ports/rows.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import type { Json } from '../../schemas/json.ts';
import { didYouMean } from '../../schemas/nearest.ts';
import type { FindRun, SignalRequest, SignalResult, SignalStore } from './inbox-ports.ts';

/** Every fault of a payload is reported, so it may not be any size. */
const MAX_PAYLOAD_BYTES = 262_144;

export interface SignalDeps {
  findRun: FindRun;
  plans: Plans;
  signals: SignalStore;
  /** Tries schemas on payloads. */
  texts: TextChecker;
  queue: Pick<FlowQueue, 'promote'>;
  failpoint: Failpoint;
  maxOutputBytes: number;
  log: Logger;
}

export interface Signals {
  /**
   * 404 unknown run or name; 409 no task can take it any more, or the run has ended; 400 the payload does not fit.
   * `actionId`: who has it already; null: it is stored.
   */
  send(caller: Caller, runId: string, message: Message): Promise<{ actionId: string | null; repeated: boolean }>;
  /** The same, for an action of another type that waits for signals itself, any number of times. */
  sendTo(
    taker: SignalTaker,
    caller: Caller,
    runId: string,
    message: Message,
  ): Promise<{ actionId: string | null; repeated: boolean }>;
}

export interface Message {
  name: string;
  payload: Json;
  requestKey: string | undefined;
}

export interface SignalTaker {
  actionId: string;
  actionType: string;
  /** Of this name, from the first to the last. */
  most?: number | undefined;
}

interface Takers extends Pick<SignalRequest, 'takers' | 'repeated' | 'most'> {
  schema: Json | undefined;
  actionType: string;
}

export function createSignals(deps: SignalDeps): Signals {
  async function runOf(caller: Caller, runId: string): Promise<RunRow> {
    const run = await deps.findRun(caller.tenantId, runId);
    if (run === undefined) throw new OrchestratorError('not_found', 'Execution not found');
    return run;
  }

  async function deliver({ tenantId, userId }: Caller, runId: string, message: Message, to: Takers) {
    const { name, payload, requestKey } = message;
    const { schema, actionType, ...takers } = to;
    const result = await deps.signals.send({
      ...{ tenantId, runId, name, requestKey, ...takers },
      payload: await storable(deps, tenantId, schema, payload),
      by: userId,
      requestHash: requestHash(payload),
    });
    if (result.done !== 'sent' && result.done !== 'repeated') throw signalError(result, name);
    await deps.failpoint('inbox.afterCommit');
    if (result.actionId !== undefined) {
      const jobId = taskJobId(runId, result.epoch, result.actionId);
      await makeDue(deps, runId, [{ queue: actionType, jobId }]);
    }
    return { actionId: result.actionId ?? null, repeated: result.done === 'repeated' };
  }

  return {
    async send(caller, runId, message) {
      const run = await runOf(caller, runId);
      const plan = await deps.plans.of(run.of);
      const declared = declaredSignals(plan.definition, run.parameters);
      const signal = declared.get(message.name);
      if (signal === undefined) {
        const suggestion = didYouMean(message.name, declared.keys());
        throw new OrchestratorError(
          'not_found',
          `No action of this execution waits for a signal '${message.name}'${suggestion}`,
        );
      }
      const { schema, actionIds: takers, repeated } = signal;
      return deliver(caller, runId, message, { schema, takers, repeated, actionType: 'signal' });
    },
    async sendTo({ actionId, actionType, most }, caller, runId, message) {
      await runOf(caller, runId);
      const takers = { takers: [actionId], repeated: true, most };
      return deliver(caller, runId, message, { ...takers, schema: undefined, actionType });
    },
  };
}

async function storable(deps: SignalDeps, tenantId: string, schema: Json | undefined, payload: Json): Promise<string> {
  const made = makeStorable(payload, { maxBytes: Math.min(MAX_PAYLOAD_BYTES, deps.maxOutputBytes) });
  if (!made.ok) {
    if (made.code === 'output_too_large')
      throw new OrchestratorError('payload_too_large', made.message.replace('the output', 'The payload'));
    throw fault([{ path: 'payload', message: made.message }]);
  }
  if (schema === undefined) return made.json;
  const faults = await withChecks(deps.texts, tenantId, (checks) => checks.valueFaults(schema, payload));
  if (faults.length === 0) return made.json;
  throw fault(faults.map(({ path, message }) => ({ path: path === '' ? 'payload' : `payload.${path}`, message })));
}

function fault(errors: FieldFault[]): OrchestratorError {
  const named = errors.slice(0, 10).map(({ path, message }) => `${path} ${message}`);
  const rest = errors.length > named.length ? `; and ${errors.length - named.length} more` : '';
  return new OrchestratorError('invalid_request', `The payload does not fit: ${named.join('; ')}${rest}`, { errors });
}

function signalError(result: Exclude<SignalResult, { done: 'sent' | 'repeated' }>, name: string): OrchestratorError {
  switch (result.done) {
    case 'key_reused':
      return new OrchestratorError(
        'idempotency_conflict',
        'The Idempotency-Key was used with another payload for this signal',
      );
    case 'run_ended':
      return new OrchestratorError('already_final', `The execution has already ended: ${result.status}`);
    case 'run_ending':
      return new OrchestratorError('conflict', `The execution is ${result.status}`);
    case 'nobody_left':
      return new OrchestratorError(
        'already_decided',
        `Every action that waits for the signal '${name}' has its message, or has ended`,
      );
    case 'too_many':
      return new OrchestratorError('conflict', `Too many messages '${name}' are kept for this execution already`);
  }
}
