/**
 * Events from outside start workflows and end waits. An event is a committed row before anything follows from it, and what
 * follows has keys made of the event: whoever dies in the middle has it done again, and nothing happens twice.
 */
import { createHash } from 'node:crypto';
import type { IncomingEvent } from '../domain/cloud-events.ts';
import { describe, OrchestratorError } from '../domain/errors.ts';
import { correlationFor, matches, parametersFor, patternsFor } from '../domain/triggers.ts';
import type { Failpoint } from './failpoint.ts';
import type { EventOutcome, IncomingStore, StoredEvent } from './incoming-ports.ts';
import type { Expressions, Logger } from './ports.ts';
import type { Signals } from './signals.ts';
import type { AcceptRuns, Caller } from './use-cases.ts';

export interface IncomingDeps {
  store: IncomingStore;
  accept: Pick<AcceptRuns, 'executeWorkflow'>;
  signals: Signals;
  expressions: Expressions;
  failpoint: Failpoint;
  log: Logger;
}

export interface ReceivedEvents {
  accepted: number;
  repeated: number;
  outcomes: Array<{ eventId: string; outcome: EventOutcome }>;
  /** Ids of events that are not done yet. */
  pending: string[];
}

export interface IncomingEvents {
  receive(caller: Caller, events: readonly IncomingEvent[]): Promise<ReceivedEvents>;
  /** Takes up what was left lying; how many. */
  takeUp(): Promise<number>;
}

/** Longer than one request may take. */
const LEASE_MS = 60_000;
const PER_PASS = 20;
/** One event starts no more workflows, and ends no more waits. */
const MAX_EFFECTS = 1_000;
const AGAIN_MS = 2_000;
const MAX_AGAIN_MS = 600_000;
/** About half a day. */
const MAX_TRIES = 80;

export function createIncomingEvents(deps: IncomingDeps): IncomingEvents {
  const { store, log } = deps;

  /** Undefined: a store or the queue is away, it is done later. */
  async function tryOn(stored: StoredEvent): Promise<EventOutcome | undefined> {
    try {
      const outcome = await follow(deps, stored);
      await store.done(stored, outcome);
      return outcome;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      log.warn('event_put_off', { event_id: stored.event.id, source: stored.event.source, error: reason });
      const last = stored.tries >= MAX_TRIES;
      const afterMs = Math.min(AGAIN_MS * 2 ** Math.min(stored.tries, 20), MAX_AGAIN_MS);
      const failed = [{ workflow_id: '', code: 'internal', detail: `given up: ${reason}` }];
      // When that cannot be written down either, its lease runs out.
      await (last ? store.done(stored, { started: [], signalled: [], failed }) : store.again(stored, afterMs)).catch(
        () => undefined,
      );
      return undefined;
    }
  }

  return {
    async receive(caller, events) {
      const keyed = events.map((event) => ({ key: eventKey(event), event }));
      const inserted = await store.insert(caller, keyed, LEASE_MS);
      await deps.failpoint('incoming.afterCommit');
      const received: ReceivedEvents = { accepted: 0, repeated: 0, outcomes: [], pending: [] };
      const inThisRequest = new Set<string>();
      for (const [index, { key, event }] of keyed.entries()) {
        const { fresh, outcome: before } = inserted[index] ?? { fresh: false, outcome: undefined };
        received[fresh ? 'accepted' : 'repeated'] += 1;
        if (inThisRequest.has(key)) continue;
        inThisRequest.add(key);
        const outcome = fresh ? await tryOn({ key, caller, event, tries: 0 }) : before;
        if (outcome === undefined) received.pending.push(event.id);
        else received.outcomes.push({ eventId: event.id, outcome });
      }
      return received;
    },
    async takeUp() {
      const due = await store.takeDue(PER_PASS, LEASE_MS);
      for (const stored of due) await tryOn(stored);
      return due.length;
    },
  };
}

export function eventKey({ source, id }: Pick<IncomingEvent, 'source' | 'id'>): string {
  return createHash('sha256')
    .update(JSON.stringify([source, id]))
    .digest('hex');
}

async function follow(deps: IncomingDeps, stored: StoredEvent): Promise<EventOutcome> {
  const { key, caller, event } = stored;
  const outcome: EventOutcome = { started: [], signalled: [], failed: [] };
  const patterns = patternsFor(event.type);
  for (const found of await deps.store.triggersFor(caller.tenantId, patterns, MAX_EFFECTS)) {
    const { workflowId, position, trigger } = found;
    if (trigger.source !== undefined && !matches(trigger.source, event.source)) continue;
    const failure = await unlessPassing(async () => {
      const wanted = trigger.filter === undefined || (await deps.expressions.evaluate(trigger.filter, { event }));
      if (wanted !== true) return;
      const { id } = await deps.accept.executeWorkflow(caller, workflowId, {
        parameters: parametersFor(trigger, event),
        correlation_id: correlationFor(trigger, event),
        idempotency_key: `event.${key}.${position}.${workflowId}`.slice(0, 255),
        strict: false,
      });
      outcome.started.push({ workflow_id: workflowId, execution_id: id });
    });
    if (failure !== undefined) outcome.failed.push({ workflow_id: workflowId, ...failure });
  }
  if (event.subject === null) return outcome;
  for (const { runId, name } of await deps.store.waitsFor(caller.tenantId, event.subject, patterns, MAX_EFFECTS)) {
    const failure = await unlessPassing(() => signalWith(deps.signals, stored, runId, name));
    if (failure === undefined) outcome.signalled.push({ execution_id: runId, name });
    else deps.log.info('event_not_taken', { run_id: runId, name, code: failure.code, error: failure.detail });
  }
  return outcome;
}

/** The message is the data of the event; once for each event. */
export async function signalWith(
  signals: Signals,
  { key, caller, event }: StoredEvent,
  runId: string,
  name: string,
): Promise<void> {
  await signals.send(caller, runId, name, event.data, `event.${key}`);
}

/** What trying again cannot help is a failure of that one alone; anything else is thrown. */
async function unlessPassing(work: () => Promise<void>): Promise<{ code: string; detail: string } | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    if (!(error instanceof OrchestratorError) || describe(error.code).retryable) throw error;
    return { code: error.code, detail: error.message };
  }
}
