/**
 * Events from outside start workflows and end waits. An event is a committed row before anything follows from it, and what
 * follows has keys made of the event: whoever dies in the middle has it done again, and nothing happens twice. Each trigger
 * and each wait is followed by itself: what cannot be done now is remembered with the event and tried again, alone.
 */
import { createHash } from 'node:crypto';
import { describe, OrchestratorError } from '../../domain/errors.ts';
import type { IncomingEvent } from '../../domain/events/cloud-events.ts';
import { correlationFor, matches, parametersFor, patternsFor } from '../../domain/events/triggers.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { Expressions } from '../../engine/ports/executor.ts';
import type { Failpoint } from '../../engine/ports/failpoint.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { AcceptRuns, Caller } from '../../engine/ports/use-cases.ts';
import type { Signals } from '../signals/send-signal.ts';
import type { EventOutcome, EventProgress, IncomingStore, OpenEffect, StoredEvent } from './ports.ts';

export interface IncomingDeps {
  store: IncomingStore;
  accept: Pick<AcceptRuns, 'executeWorkflow'>;
  signals: Signals;
  expressions: Expressions;
  failpoint: Failpoint;
  /** Milliseconds of a clock that only goes forward. */
  now(): number;
  log: Logger;
}

export interface ReceivedEvents {
  accepted: number;
  repeated: number;
  outcomes: Array<{ eventId: string; outcome: EventOutcome }>;
  /** Ids of events that are not done yet; what followed from them so far is among the outcomes. */
  pending: string[];
}

export interface IncomingEvents {
  receive(caller: Caller, events: readonly IncomingEvent[]): Promise<ReceivedEvents>;
  /** Takes up what was not finished, tenants side by side; resolves before that is done, to how many. */
  takeUp(): Promise<number>;
  /** Resolves when nothing that was taken up is under way. */
  idle(): Promise<void>;
}

/** Longer than one request may take. */
const LEASE_MS = 60_000;
const PER_TENANT = 5;
/** One event starts no more workflows, and ends no more waits. */
const MAX_EFFECTS = 1_000;
const AT_ONCE = 4;
/** After that no other trigger or wait of an event is started; the rest comes later. */
const BUDGET_MS = 5_000;
const AGAIN_MS = 2_000;
const MAX_AGAIN_MS = 600_000;
/** About half a day. */
const MAX_TRIES = 80;

const NOTHING: EventOutcome = { started: [], signalled: [], failed: [] };

export function createIncomingEvents(deps: IncomingDeps): IncomingEvents {
  const { store, log } = deps;
  const busy = new Map<string, Promise<void>>();

  /** What followed so far; `done` false: the rest is done later. */
  async function tryOn(stored: StoredEvent): Promise<{ done: boolean; outcome: EventOutcome }> {
    try {
      const progress = await follow(deps, stored);
      if (progress.open.length === 0) await store.done(stored, progress.outcome);
      else await store.again(stored, progress, delayOf(progress.open));
      return { done: progress.open.length === 0, outcome: progress.outcome };
    } catch (error) {
      // A store is away.
      const reason = errorMessage(error);
      log.warn('event_put_off', { event_id: stored.event.id, source: stored.event.source, error: reason });
      const before = stored.progress?.outcome ?? NOTHING;
      const failed = [...before.failed, { workflow_id: '', code: 'internal', detail: `given up: ${reason}` }];
      // When that cannot be written down either, its lease runs out.
      await (stored.tries >= MAX_TRIES
        ? store.done(stored, { ...before, failed })
        : store.again(stored, undefined, backoff(stored.tries))
      ).catch(() => undefined);
      return { done: false, outcome: before };
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
        const before = inserted[index] ?? { fresh: false, done: false, outcome: undefined };
        received[before.fresh ? 'accepted' : 'repeated'] += 1;
        if (inThisRequest.has(key)) continue;
        inThisRequest.add(key);
        const { done, outcome } = before.fresh
          ? await tryOn({ key, caller, event, tries: 0, progress: undefined })
          : before;
        if (!done) received.pending.push(event.id);
        if (outcome !== undefined) received.outcomes.push({ eventId: event.id, outcome });
      }
      return received;
    },
    async takeUp() {
      const due = await store.takeDue(PER_TENANT, [...busy.keys()], LEASE_MS);
      for (const tenantId of new Set(due.map(({ caller }) => caller.tenantId))) {
        const own = due.filter(({ caller }) => caller.tenantId === tenantId);
        const work = async () => {
          for (const stored of own) await tryOn(stored);
          busy.delete(tenantId);
        };
        busy.set(tenantId, work());
      }
      return due.length;
    },
    async idle() {
      await Promise.all(busy.values());
    },
  };
}

function backoff(tries: number): number {
  return Math.min(AGAIN_MS * 2 ** Math.min(tries, 20), MAX_AGAIN_MS);
}

/** What has not been tried yet comes soon; what fails comes ever later. */
function delayOf(open: readonly OpenEffect[]): number {
  return backoff(Math.min(...open.map(({ tries }) => tries)));
}

export function eventKey({ source, id }: Pick<IncomingEvent, 'source' | 'id'>): string {
  return createHash('sha256')
    .update(JSON.stringify([source, id]))
    .digest('hex');
}

interface Effect extends OpenEffect {
  /** Adds to the outcome. Throws what may pass. */
  run(outcome: EventOutcome): Promise<void>;
  /** When it is tried no more. */
  giveUp(outcome: EventOutcome, reason: string): void;
}

/** Follows what is open, those that failed least first. Throws when nothing of it can be read. */
async function follow(deps: IncomingDeps, stored: StoredEvent): Promise<EventProgress> {
  const effects = await effectsOf(deps, stored);
  const { started, signalled, failed } = stored.progress?.outcome ?? NOTHING;
  const outcome: EventOutcome = { started: [...started], signalled: [...signalled], failed: [...failed] };
  const open: OpenEffect[] = [];
  const until = deps.now() + BUDGET_MS;
  const remaining = effects.sort((a, b) => a.tries - b.tries).values();
  async function work(): Promise<void> {
    for (const effect of remaining) {
      const { id, tries } = effect;
      if (deps.now() >= until) {
        open.push({ id, tries });
        continue;
      }
      try {
        await effect.run(outcome);
      } catch (error) {
        const reason = errorMessage(error);
        deps.log.warn('event_put_off', {
          event_id: stored.event.id,
          source: stored.event.source,
          of: id,
          error: reason,
        });
        if (tries + 1 >= MAX_TRIES) effect.giveUp(outcome, `given up: ${reason}`);
        else open.push({ id, tries: tries + 1 });
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return { outcome, open };
}

/** All that the event is for, or what of that is still open. */
async function effectsOf(deps: IncomingDeps, stored: StoredEvent): Promise<Effect[]> {
  const { caller, event, progress } = stored;
  const patterns = patternsFor(event.type);
  const tries = progress && new Map(progress.open.map((effect) => [effect.id, effect.tries]));
  const [triggers, waits] = await Promise.all([
    deps.store.triggersFor(caller.tenantId, patterns, MAX_EFFECTS),
    event.subject === null ? [] : deps.store.waitsFor(caller.tenantId, event.subject, patterns, MAX_EFFECTS),
  ]);
  const all = [
    ...triggers
      .filter(({ trigger }) => trigger.source === undefined || matches(trigger.source, event.source))
      .map((found) => triggerEffect(deps, stored, found)),
    ...waits.map((found) => waitEffect(deps, stored, found)),
  ];
  return all
    .filter(({ id }) => tries === undefined || tries.has(id))
    .map((effect) => ({ ...effect, tries: tries?.get(effect.id) ?? 0 }));
}

function triggerEffect(
  deps: IncomingDeps,
  { key, caller, event }: StoredEvent,
  { workflowId, position, trigger }: Awaited<ReturnType<IncomingStore['triggersFor']>>[number],
): Omit<Effect, 'tries'> {
  return {
    id: `trigger ${workflowId} ${position}`,
    async run(outcome) {
      const failure = await unlessPassing(async () => {
        const wanted =
          trigger.filter === undefined || (await deps.expressions.evaluate(trigger.filter, { event }, caller));
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
    },
    giveUp(outcome, detail) {
      outcome.failed.push({ workflow_id: workflowId, code: 'internal', detail });
    },
  };
}

function waitEffect(
  { signals, log }: IncomingDeps,
  stored: StoredEvent,
  { runId, name }: { runId: string; name: string },
): Omit<Effect, 'tries'> {
  return {
    id: `wait ${runId} ${name}`,
    async run(outcome) {
      const failure = await unlessPassing(() => signalWith(signals, stored, runId, name));
      if (failure === undefined) outcome.signalled.push({ execution_id: runId, name });
      else log.info('event_not_taken', { run_id: runId, name, code: failure.code, error: failure.detail });
    },
    giveUp(_outcome, error) {
      log.info('event_not_taken', { run_id: runId, name, code: 'internal', error });
    },
  };
}

/** The message is the data of the event; once for each event. */
export async function signalWith(
  signals: Signals,
  { key, caller, event }: StoredEvent,
  runId: string,
  name: string,
): Promise<void> {
  await signals.send(caller, runId, { name, payload: event.data, requestKey: `event.${key}` });
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
