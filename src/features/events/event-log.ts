/** The log of events for the API: history, replay and clearing. */
import { OrchestratorError } from '../../domain/errors.ts';
import type { AcceptRuns, Caller } from '../../engine/ports/use-cases.ts';
import type { EventFilter, EventLogStore, LoggedEvent } from './event-log-ports.ts';
import type { ReplayTarget } from './replay.ts';

/** Counted no further, so that one page costs no more than that. */
export const MAX_COUNTED = 100_000;
/** Kinds and correlation ids that were cleared on their own, of one tenant. */
const MAX_CLEARED = 1_000;
/** Of the run that replays. */
const TIMEOUT_SECONDS = 3_600;

export interface EventLog {
  history(
    caller: Caller,
    filter: EventFilter,
    window: { limit: number; before: string | undefined },
  ): Promise<{ events: LoggedEvent[]; more: boolean; total: number }>;
  /** Starts a run that replays them to the target, oldest first; none when there are no events. */
  replay(
    caller: Caller,
    filter: EventFilter,
    request: { limit: number; target: ReplayTarget | undefined },
  ): Promise<{ ids: string[]; target: ReplayTarget; executionId: string | undefined }>;
  /** Hides what there is by now; resolves to how much that was. */
  clear(caller: Caller, filter: Pick<EventFilter, 'kinds' | 'correlationId'>): Promise<number>;
}

export interface EventLogDeps {
  log: EventLogStore;
  accept: Pick<AcceptRuns, 'acceptTask'>;
  /** The stream of all events; undefined: there is none. */
  stream: string | undefined;
}

export function createEventLog(deps: EventLogDeps): EventLog {
  const { log, stream } = deps;
  return {
    async history({ tenantId }, filter, window) {
      const [found, total] = await Promise.all([
        log.list(tenantId, filter, window),
        log.count(tenantId, filter, MAX_COUNTED),
      ]);
      return { ...found, total };
    },
    async replay(caller, filter, { limit, target: requested }) {
      const target = requested ?? (stream === undefined ? { webhooks: true as const } : { stream });
      if ('stream' in target) checkStream(target.stream, stream);
      const positions = await log.positions(caller.tenantId, filter, limit);
      const ids = positions.map(({ id }) => id);
      if (ids.length === 0) return { ids, target, executionId: undefined };
      const events = positions.map(({ id, runId }) => ({ event_id: id, execution_id: runId }));
      const params = { events, target: { ...target } };
      const request = { task_type: 'replay_events', params, timeout_seconds: TIMEOUT_SECONDS };
      const { id } = await deps.accept.acceptTask(caller, request, undefined);
      return { ids, target, executionId: id };
    },
    async clear(caller, filter) {
      const cleared = await log.clear(caller, filter, MAX_CLEARED);
      if (cleared !== undefined) return cleared;
      const detail = `${MAX_CLEARED} kinds and correlation ids are cleared on their own already: clear the whole log once`;
      throw new OrchestratorError('conflict', detail);
    },
  };
}

/** Nobody may write to keys of the queue, which are in the same Redis. */
function checkStream(requested: string, stream: string | undefined): void {
  if (stream !== undefined && (requested === stream || requested.startsWith(`${stream}:`))) return;
  const message =
    stream === undefined
      ? 'is not to be had: EVENTS_STREAM is not set'
      : `must be '${stream}', or begin with '${stream}:'`;
  throw new OrchestratorError('invalid_request', `target.stream ${message}`, {
    errors: [{ path: 'target.stream', message }],
  });
}
