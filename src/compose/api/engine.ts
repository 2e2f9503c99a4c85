/** The engine of an API process: it takes runs in, reads them, and reopens them. */
import { v7 as uuidv7 } from 'uuid';
import { createCatalogue } from '../../../workers/catalogue.ts';
import { adaptersFor } from '../../../workers/shipped-adapters.ts';
import { mergeDefinition, normaliseDefinition } from '../../domain/definition/normalise.ts';
import type { Checks } from '../../domain/texts/checks.ts';
import { type AcceptDeps, createAcceptRuns } from '../../engine/accept/accept-run.ts';
import { createAdmission } from '../../engine/accept/admit.ts';
import { createAcceptCapacity, MAX_RUNS_IN_HAND, sampled } from '../../engine/accept/limit-accepts.ts';
import { createPlans } from '../../engine/accept/plans.ts';
import { createEndReplaced } from '../../engine/accept/run-concurrency.ts';
import { createSystemRuns } from '../../engine/accept/system-runs.ts';
import { createSystemWorkflows, headsWithSystem } from '../../engine/accept/system-workflows.ts';
import { createLiveRunQuota, createQueuedRunQuota } from '../../engine/accept/tenant-quota.ts';
import { withChecks } from '../../engine/accept/with-checks.ts';
import type { BeforeSaveWorkflow, DefinitionRules } from '../../engine/ports/definitions.ts';
import { createWorkflows } from '../../engine/workflows/workflows.ts';
import { createDirectChecks } from '../../expressions/direct-checks.ts';
import { tracedRuns } from '../../features/tracing/export-ended-runs.ts';
import { tracedAccepts } from '../../features/tracing/traced-work.ts';
import type { JsonObject } from '../../schemas/json.ts';
import { countLiveRuns, countQueuedRuns } from '../../store/accept/tenant-quota.ts';
import { createReconcileStore } from '../../store/recover/reconcile-store.ts';
import { createChildStore } from '../../store/runs/child-runs.ts';
import { createDefinitions } from '../../store/runs/definitions.ts';
import { createRetryStore } from '../../store/runs/reopen-run.ts';
import { createRunStore } from '../../store/runs/run-store.ts';
import { createSagaStore } from '../../store/runs/sagas.ts';
import { createSystemWorkflowStore } from '../../store/runs/system-workflow-store.ts';
import { createRunWaiter } from '../../store/runs/wait-for-runs.ts';
import { createWorkflowHeads } from '../../store/runs/workflow-heads.ts';
import { createWorkflowStore } from '../../store/runs/workflows.ts';
import { createTaskStore } from '../../store/tasks/task-store.ts';
import { createRunReader } from '../../store/views/runs-read.ts';
import type { ApiMetrics } from '../../telemetry/api-metrics.ts';
import { acceptDefaults } from '../accept-defaults.ts';
import { fairnessOf, liveWeights } from '../fairness.ts';
import type { Brought } from '../features.ts';
import { meteredAccepts } from './metrics.ts';
import type { ApiResources } from './resources.ts';

/** The dispatcher takes a run that is still pending after two seconds. */
const MARK_QUEUED_AFTER_MS = 500;

export type ApiEngine = ReturnType<typeof createApiEngine>;

/** Of all features, which are opened after the engine. */
export interface EngineHooks {
  beforeSave(): readonly BeforeSaveWorkflow[];
  /** Of a definition as a client sent it. */
  translate(written: JsonObject): JsonObject;
}

export function createApiEngine(
  resources: ApiResources,
  brought: Pick<Brought, 'adapters' | 'systemWorkflows'>,
  metrics: () => Pick<ApiMetrics, 'wrote' | 'accepted'>,
  hooks: EngineHooks,
) {
  const { config, pool, everyTenant, prisma, queue, backend, failpoint, expressions, log } = resources;
  const catalogue = createCatalogue([...adaptersFor({ underTest: config.nodeEnv === 'test' }), ...brought.adapters]);
  const defaults = acceptDefaults(config);
  const ownChecks = createDirectChecks();
  const rulesWith = (checks: Checks) => ({ ...catalogue, checks, defaults });
  const normaliseOwn = (body: JsonObject) => normaliseDefinition(body, rulesWith(ownChecks));
  const rules: DefinitionRules = {
    normalise: (tenantId, body) =>
      withChecks(expressions, tenantId, (checks) => normaliseDefinition(hooks.translate(body), rulesWith(checks))),
    merge: (tenantId, current, patch) =>
      withChecks(expressions, tenantId, (checks) => mergeDefinition(current, patch, rulesWith(checks))),
  };

  const definitions = createDefinitions(pool);
  const plans = createPlans(definitions);
  const children = createChildStore(pool);
  const tasks = createTaskStore(pool);
  const runs = tracedRuns(
    createRunStore(pool, {
      markQueuedAfterMs: MARK_QUEUED_AFTER_MS,
      onWrite: (write) => metrics().wrote(write),
      everyTenant,
    }),
    resources.ends,
  );
  const kept = createSystemWorkflows({
    workflows: brought.systemWorkflows,
    store: createSystemWorkflowStore(pool),
    normalise: normaliseOwn,
  });
  const changing = {
    store: createWorkflowStore(prisma, uuidv7),
    system: kept,
    rules,
    actionTypes: catalogue,
    beforeSave: hooks.beforeSave,
  };
  const workflows = createWorkflows(changing);
  const waiter = createRunWaiter(everyTenant);
  const reader = createRunReader({ pool, prisma }, definitions);
  const live = liveWeights(config, everyTenant, log);
  const elapsed = () => performance.now();
  const window = config.admissionWindow;
  const admission = createAdmission({
    ...{ plans, runs, queue, failpoint, window, log },
    fairness: fairnessOf(live),
    now: elapsed,
  });
  const queueUse = sampled(() => backend.memoryUse(), elapsed);
  const queueRejects = sampled(() => backend.rejectsWrites(), elapsed);
  const liveRuns = createLiveRunQuota({
    limit: config.maxLiveRunsPerTenant,
    count: (tenantId, most) => countLiveRuns(pool, tenantId, most),
    now: elapsed,
  });
  const queuedRuns = createQueuedRunQuota({
    limit: config.maxQueuedRunsPerTenant,
    count: (tenantId, most) => countQueuedRuns(pool, tenantId, most),
    now: elapsed,
  });
  const capacity = createAcceptCapacity({ maxRuns: MAX_RUNS_IN_HAND, queueUse });
  const accepting: AcceptDeps = {
    ...{ capacity, workflows, plans, runs, admission, failpoint, defaults },
    tenantQuotas: [liveRuns, queuedRuns],
    actionTypes: catalogue,
    texts: expressions,
    workflowHead: headsWithSystem(createWorkflowHeads(pool), kept),
    endReplaced: createEndReplaced({ plans, runs, tasks, children, queue, failpoint, log }),
    newId: uuidv7,
  };
  const acceptInto = (store: AcceptDeps['runs']) => {
    const accepts = createAcceptRuns({ ...accepting, runs: store });
    const timed = meteredAccepts(accepts, (result, seconds) => metrics().accepted(result, seconds));
    return tracedAccepts(timed, resources.spans, Date.now);
  };
  const accept = acceptInto(runs);
  return {
    ...{ catalogue, normaliseOwn, rules, definitions, plans, children, tasks, runs, workflows },
    ...{ waiter, reader, live, accept },
    ...{ queueUse, queueRejects, changing },
    acceptsInHand: capacity.inHand,
    system: createSystemRuns({ system: kept, accept, acceptInto, wait: waiter, reader }),
    reopening: {
      ...{ plans, runs, queue, failpoint, window, log },
      reconcile: createReconcileStore(pool),
      retries: createRetryStore(pool),
      sagas: createSagaStore(pool),
      // Only for how urgent a job is against others, in broad classes.
      now: Date.now,
    },
  };
}
