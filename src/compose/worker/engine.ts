/** The engine of a worker but for the execution of tasks: its stores, how runs begin and end here, and what tasks may begin. */
import { v7 as uuidv7 } from 'uuid';
import { createCatalogue } from '../../../workers/catalogue.ts';
import { adaptersFor } from '../../../workers/shipped-adapters.ts';
import { createPlans } from '../../engine/accept/plans.ts';
import { createCancelRuns } from '../../engine/control/cancel-run.ts';
import { createFallAsleep } from '../../engine/recover/sleeping-runs.ts';
import { createReconcileStore } from '../../store/recover/reconcile-store.ts';
import { createChildStore } from '../../store/runs/child-runs.ts';
import { createDefinitions } from '../../store/runs/definitions.ts';
import { createRunControl } from '../../store/runs/run-control.ts';
import { createRunStore } from '../../store/runs/run-store.ts';
import { createSagaStore } from '../../store/runs/sagas.ts';
import { createWorkflowStore } from '../../store/runs/workflows.ts';
import { createTaskStore } from '../../store/tasks/task-store.ts';
import type { SharedMetrics } from '../../telemetry/shared-metrics.ts';
import type { WorkerMetrics } from '../../telemetry/worker-metrics.ts';
import { liveWeights } from '../fairness.ts';
import type { Brought } from '../features.ts';
import { meteredTasks } from '../shared-metrics.ts';
import { acceptInWorker } from './accept.ts';
import type { WorkerResources } from './resources.ts';
import { createSubWorkflows } from './sub-workflows.ts';

export type WorkerEngine = ReturnType<typeof createWorkerEngine>;

export function createWorkerEngine(
  resources: WorkerResources,
  { adapters, systemWorkflows }: Pick<Brought, 'adapters' | 'systemWorkflows'>,
  shared: SharedMetrics,
  metrics: () => Pick<WorkerMetrics, 'wrote' | 'worker'>,
) {
  const { config, pool, prisma, queue, backend, failpoint, expressions, traced, faults, log } = resources;
  const catalogue = createCatalogue([...adaptersFor({ underTest: config.nodeEnv === 'test' }), ...adapters]);
  const wrote: WorkerMetrics['wrote'] = (write) => metrics().wrote(write);
  const tasks = meteredTasks(
    traced.tasks(
      createTaskStore(pool, failpoint, {
        wrote,
        sent: traced.commits,
        asleep: (runIds) => void fallAsleep(runIds),
      }),
    ),
    shared,
    (what) => metrics().worker.delivery(what),
    faults.redelivered,
  );
  const live = liveWeights(config, pool, log);
  const children = createChildStore(pool, live.weights);
  const runs = traced.runs(createRunStore(pool, { onWrite: wrote }));
  const plans = createPlans(createDefinitions(pool));
  const workflows = createWorkflowStore(prisma, uuidv7);
  const reconcile = createReconcileStore(pool);
  const again = { plans, runs, reconcile, queue, failpoint, tasks, children, now: resources.now };
  const fallAsleep = createFallAsleep({ ...again, log });
  const accepting = { actionTypes: catalogue, texts: expressions, workflows, plans, failpoint, pool, config, log };
  const { accept, queue: briefQueue } = acceptInWorker({
    ...accepting,
    backend,
    runs,
    tasks,
    children,
    weights: live.weights,
  });
  return {
    ...{ catalogue, tasks, live, children, runs, plans, reconcile, again, accept, briefQueue },
    sagas: traced.sagas(createSagaStore(pool)),
    control: createRunControl(pool),
    cancelRun: createCancelRuns({ ...again, log }).cancelRun,
    childRuns: createSubWorkflows({ ...again, ...accepting, systemWorkflows }),
  };
}
