/**
 * Writes the state of flow runs to Redis, for others to read; nothing of the service does. After a commit the state is read
 * and written, and then read again: of two workers that write at the same time the last one has seen what the other
 * committed. What cannot be written is dropped, and comes back with the next change.
 */
import type { Plans } from '../../engine/accept/plans.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { RunRow } from '../../engine/ports/rows.ts';
import type { RedisKeys } from '../../queue/redis-keys.ts';
import { stateOf } from './state.ts';
import type { ReadFlowRuns } from './state-store.ts';

const RUNS_AT_ONCE = 100;

export interface PublishStateDeps {
  read: ReadFlowRuns;
  plans: Plans;
  keys: Pick<RedisKeys, 'set'>;
  prefix: string;
  ttlSeconds: number;
  log: Logger;
}

export interface PublishedStates {
  /** Something of the run was committed. Only flow runs have a context, and others are passed over. */
  committed(run: Pick<RunRow, 'id' | 'executionContext'>): void;
  /** Resolves when nothing is left to be written. */
  drain(): Promise<void>;
}

export function createPublishedStates(deps: PublishStateDeps): PublishedStates {
  const changed = new Set<string>();
  let working: Promise<void> | undefined;

  async function statesOf(runIds: readonly string[]): Promise<Map<string, string>> {
    const states = new Map<string, string>();
    for (const run of await deps.read(runIds)) {
      const plan = await deps.plans.of({ workflow_id: run.workflowId, version: run.workflowVersion });
      states.set(run.runId, JSON.stringify(stateOf(run, plan)));
    }
    return states;
  }

  async function publish(runIds: readonly string[]): Promise<void> {
    const written = new Map<string, string>();
    for (let open = runIds; open.length > 0; ) {
      const states = [...(await statesOf(open))].filter(([id, state]) => written.get(id) !== state);
      if (states.length === 0) return;
      const values = new Map(states.map(([id, state]) => [`${deps.prefix}run:${id}:state`, state]));
      await deps.keys.set(values, deps.ttlSeconds);
      for (const [id, state] of states) written.set(id, state);
      open = states.map(([id]) => id);
    }
  }

  async function work(): Promise<void> {
    while (changed.size > 0) {
      const runIds = [...changed].slice(0, RUNS_AT_ONCE);
      for (const id of runIds) changed.delete(id);
      await publish(runIds).catch((error: Error) => {
        deps.log.debug('flow_state_not_written', { runs: runIds.length, error: error.message });
      });
    }
    // In the turn that found nothing left: who comes later starts again.
    working = undefined;
  }

  return {
    committed({ id, executionContext }) {
      if (executionContext === undefined || executionContext === null) return;
      changed.add(id);
      working ??= work();
    },
    async drain() {
      while (working !== undefined) await working;
    },
  };
}
