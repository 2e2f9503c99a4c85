/** How a worker accepts runs: as the API does, but without waiting for a queue that is away. */
import type pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import type { Config } from '../../config/config.ts';
import { type AcceptDeps, createAcceptRuns } from '../../engine/accept/accept-run.ts';
import { createAdmission } from '../../engine/accept/admit.ts';
import { createEndReplaced } from '../../engine/accept/run-concurrency.ts';
import type { ChildStore } from '../../engine/ports/children.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { RunStore } from '../../engine/ports/runs.ts';
import type { TaskStore } from '../../engine/ports/tasks.ts';
import type { AcceptRuns } from '../../engine/ports/use-cases.ts';
import type { Backend } from '../../queue/backend.ts';
import { createFlowQueue } from '../../queue/flow-queue.ts';
import { createWorkflowHeads } from '../../store/runs/workflow-heads.ts';
import { acceptDefaults } from '../accept-defaults.ts';
import { fairnessOf } from '../fairness.ts';

/** The dispatcher adds what could not be added. */
const QUEUE_TIMEOUT_MS = 2_000;

export type WorkerAcceptParts = Pick<AcceptDeps, 'actionTypes' | 'texts' | 'workflows' | 'plans' | 'failpoint'> & {
  pool: pg.Pool;
  backend: Backend;
  runs: RunStore;
  tasks: Pick<TaskStore, 'wake'>;
  children: Pick<ChildStore, 'parentOf'>;
  config: Config;
  /** Of tenants, as they are at the moment. */
  weights: ReadonlyMap<string, number>;
  log: Logger;
};

export function acceptInWorker(parts: WorkerAcceptParts): {
  accept: AcceptRuns;
  queue: ReturnType<typeof createFlowQueue>;
} {
  const { pool, backend, runs, plans, failpoint, config, log } = parts;
  const queue = createFlowQueue({ backend, timeoutMs: QUEUE_TIMEOUT_MS });
  const admission = createAdmission({
    plans,
    runs,
    queue,
    failpoint,
    window: config.admissionWindow,
    fairness: fairnessOf(parts),
    log,
    now: () => performance.now(),
  });
  const accept = createAcceptRuns({
    ...parts,
    workflowHead: createWorkflowHeads(pool),
    admission: {
      async admit(accepted) {
        // The commands of a worker wait for the connection.
        if (await queue.ping()) await admission.admit(accepted);
      },
    },
    endReplaced: createEndReplaced({ ...parts, queue }),
    defaults: acceptDefaults(config),
    newId: uuidv7,
  });
  return { accept, queue };
}
