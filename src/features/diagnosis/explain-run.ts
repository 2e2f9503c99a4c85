/**
 * `GET /executions/{id}/why`: gathers the facts of a run, in a bounded number of queries, and lets the domain decide which
 * of them is the cause. Whatever does not answer is left out, and is a cause itself.
 */

import { WORKFLOW_ACTION } from '../../domain/definition/sub-workflows.ts';
import { isQueueFull, type QueueUse } from '../../domain/fairness/queue-room.ts';
import { FINALIZER_QUEUE, finalizerJobId, taskJobId } from '../../domain/graph/compile.ts';
import type { Plan } from '../../domain/graph/plan.ts';
import { visibleFaults } from '../../domain/health/fault-problems.ts';
import type { JobFact } from '../../domain/health/job-fact.ts';
import type { Explanation, WaitCause } from '../../domain/health/why-causes.ts';
import { hasItems } from '../../domain/runs/parts.ts';
import { serviceKey } from '../../domain/service-rate.ts';
import type { Plans } from '../../engine/accept/plans.ts';
import type { EngineHealth, LaneDepths, LaneHealth } from '../../engine/health/engine-health.ts';
import type { JobProbes, JobRef } from '../../engine/ports/queue.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import type { WhyWaiting } from '../../feature.ts';

import { explain } from './domain.ts';
import type { ActionFact, ChildFact, LaneFact, RunFacts } from './facts.ts';
import type { WhyRun, WhyStore } from './ports.ts';

export interface WhyDeps {
  store: WhyStore;
  plans: Plans;
  jobs: JobProbes;
  depths: LaneDepths;
  queueUse(): QueueUse | undefined;
  /** The queue's own word for why it takes no writes. */
  queueRejects(): string | undefined;
  window: number;
  version: string;
  /** Of the features. */
  waitCauses: readonly WaitCause[];
  /** Likewise. */
  whyWaiting: WhyWaiting;
  /** What fails now, in this process and in others. */
  engine: Pick<EngineHealth, 'report'>;
}

export interface RunExplanation extends Explanation {
  runId: string;
  status: string;
  now: number;
}

export interface WhyOfRuns {
  /** Undefined: no such run. */
  explain(caller: Pick<Caller, 'tenantId'>, runId: string): Promise<RunExplanation | undefined>;
}

/** Tasks of one run whose jobs are read from the queue. */
const MAX_ACTIONS = 20;
const MAX_CHILDREN = 3;
const DEPTH = 3;

export function createWhy(deps: WhyDeps): WhyOfRuns {
  async function explainRun(tenantId: string, runId: string, depth: number): Promise<RunExplanation | undefined> {
    const of = await deps.store.run(tenantId, runId);
    if (of === undefined) return undefined;
    const facts = await gather(deps, of, (child) =>
      depth < DEPTH ? explainRun(tenantId, child, depth + 1) : undefined,
    );
    return { runId, status: of.run.status, now: of.now, ...explain(facts) };
  }
  return { explain: (caller, runId) => explainRun(caller.tenantId, runId, 1) };
}

async function gather(
  deps: WhyDeps,
  of: WhyRun,
  whyOf: (runId: string) => Promise<RunExplanation | undefined> | undefined,
): Promise<RunFacts> {
  const { store } = deps;
  const [plan, read, around, { faults }] = await Promise.all([
    deps.plans.of(of.of),
    store.tasks(of),
    store.surroundings(of.tenantId),
    deps.engine.report(),
  ]);
  const actions = plan.actions.map(({ action, dependsOn }) => factOf(plan, action, dependsOn));
  const tasks = read?.tasks;
  const open = of.run.final || tasks === undefined ? [] : readyActions(actions, tasks);
  const shown = open.slice(0, MAX_ACTIONS);
  const status = (actionId: string) => tasks?.get(actionId)?.status;
  const asleep = shown.filter(({ actionId }) => status(actionId) === 'waiting').map(({ actionId }) => actionId);
  const calls = shown.filter(({ actionId, service }) => service !== undefined && status(actionId) === 'waiting');
  const isPending = of.run.status === 'pending' && of.run.dueAt === undefined;
  const [jobs, lanes, waits, externals, whyWaiting, children, rateSlots, group, window] = await Promise.all([
    of.run.final ? new Map() : deps.jobs.probe(jobsOf(of, shown)).catch(() => undefined),
    of.run.final ? [] : deps.depths.depths().catch(() => undefined),
    store.waits(of, asleep),
    store.externals(of, asleep),
    asleep.length === 0 ? undefined : deps.whyWaiting({ ...of, id: of.run.id }, asleep),
    childrenOf(deps, of, shown, whyOf),
    rateSlotsOf(deps, of, calls, (actionId) => tasks?.get(actionId)?.attempts ?? 0),
    of.waitsForSlot ? store.group(of) : undefined,
    isPending && !of.waitsForSlot ? store.window(of, deps.window) : undefined,
  ]);
  const use = deps.queueUse();
  return {
    ...of,
    ...around,
    faults: visibleFaults(faults, of.tenantId),
    version: deps.version,
    waitCauses: deps.waitCauses,
    queueReachable: jobs !== undefined,
    queueRejects: deps.queueRejects(),
    queueUse: use,
    queueFull: isQueueFull(use),
    lanes: lanesOf(lanes ?? [], around.paused, of.tenantId),
    actions,
    tasks,
    parts: read?.parts ?? new Map(),
    jobs: jobs === undefined ? new Map() : of.run.leftQueue ? atRest(jobs, tasks) : jobs,
    finalizer: jobs?.get(FINALIZER),
    waits: waits.waits,
    waitsSince: waits.since,
    externals,
    whyWaiting,
    children,
    rateSlots: rateSlots,
    group,
    window,
  };
}
const FINALIZER = '~end';

/** Jobs of a run that has left the queue are not lost: they are as if they slept there. */
function atRest(jobs: ReadonlyMap<string, JobFact>, tasks: RunFacts['tasks']): Map<string, JobFact> {
  const restful = ([actionId, job]: [string, JobFact]): [string, JobFact] => {
    if (job.state !== 'missing') return [actionId, job];
    const { notBefore, updatedAt } = tasks?.get(actionId) ?? {};
    const delayMs = notBefore === undefined || updatedAt === undefined ? undefined : notBefore - updatedAt;
    return [actionId, { state: 'delayed', delayMs }];
  };
  return new Map([...jobs].map(restful));
}

function factOf(plan: Plan, action: Plan['actions'][number]['action'], dependsOn: readonly number[]): ActionFact {
  const { action_id, action_type, config, retry, timeout_seconds, delay_seconds } = action;
  const named = typeof config === 'object' && config !== null && !Array.isArray(config) ? config['service'] : undefined;
  const isCall = action_type === 'service_call' && typeof named === 'string' && !named.includes('{{');
  return {
    actionId: action_id,
    actionType: action_type,
    dependsOn: dependsOn.flatMap((index) => plan.actions[index]?.action.action_id ?? []),
    maxAttempts: retry.max_attempts,
    timeoutMs: timeout_seconds * 1000,
    delayMs: (delay_seconds ?? 0) * 1000,
    service: isCall ? named : undefined,
    hasParts: hasItems(action),
  };
}

/** Those that wait for nobody; what is under way comes first. */
function readyActions(actions: readonly ActionFact[], tasks: NonNullable<RunFacts['tasks']>): ActionFact[] {
  const isFinal = (id: string) => tasks.get(id)?.final === true;
  const ready = actions.filter(({ actionId, dependsOn }) => !isFinal(actionId) && dependsOn.every(isFinal));
  const started = ready.filter(({ actionId }) => tasks.has(actionId));
  return [...started, ...ready.filter(({ actionId }) => !tasks.has(actionId))];
}

function jobsOf({ run, epoch }: WhyRun, actions: readonly ActionFact[]): JobRef[] {
  const end = { name: FINALIZER, queue: FINALIZER_QUEUE, jobId: finalizerJobId(run.id, epoch) };
  if (actions.length === 0) return [end];
  return actions.map(({ actionId, actionType }) => ({
    name: actionId,
    queue: actionType,
    jobId: taskJobId(run.id, epoch, actionId),
  }));
}

async function childrenOf(
  { store }: WhyDeps,
  of: WhyRun,
  actions: readonly ActionFact[],
  whyOf: (runId: string) => Promise<RunExplanation | undefined> | undefined,
): Promise<Map<string, ChildFact>> {
  const parents = actions.filter(({ actionType }) => actionType === WORKFLOW_ACTION).map(({ actionId }) => actionId);
  const open = parents.length === 0 ? [] : await store.children(of, parents);
  const explained = await Promise.all(
    open.map(async ({ actionId, ...child }, index): Promise<[string, ChildFact]> => {
      const why = index < MAX_CHILDREN ? await whyOf(child.runId) : undefined;
      return [actionId, { ...child, why }];
    }),
  );
  return new Map(explained);
}

async function rateSlotsOf(
  { store }: WhyDeps,
  { run, epoch }: WhyRun,
  calls: readonly ActionFact[],
  attempts: (actionId: string) => number,
): Promise<Map<string, number>> {
  if (calls.length === 0) return new Map();
  // The attempt that waits is the one after the last that has ended, or that one when nothing has started it.
  const idsOf = (actionId: string) =>
    [attempts(actionId), attempts(actionId) + 1].map((attempt) => `${run.id}.${epoch}.${actionId}.${attempt}`);
  const keys = [...new Set(calls.map(({ service = '' }) => serviceKey(service)))];
  const found = await store.rateSlots(
    keys,
    calls.flatMap(({ actionId }) => idsOf(actionId)),
  );
  const slots = new Map<string, number>();
  for (const { actionId } of calls) {
    const at = idsOf(actionId)
      .map((id) => found.get(id))
      .find((one) => one !== undefined);
    if (at !== undefined) slots.set(actionId, at);
  }
  return slots;
}

export function lanesOf(
  depths: ReadonlyArray<Omit<LaneHealth, 'workers'>>,
  paused: ReadonlyArray<{ lane: string; tenantId: string; by: string; reason: string | null; since: number }>,
  tenantId: string,
): Map<string, LaneFact> {
  const lanes = new Map<string, LaneFact>();
  for (const { lane, depth, active } of depths) lanes.set(lane, { lane, paused: undefined, depth, active });
  for (const { lane, by, reason, since, tenantId: owner } of paused) {
    const { depth, active } = lanes.get(lane) ?? {};
    // Users are a tenant's own business.
    lanes.set(lane, { lane, depth, active, paused: { by: owner === tenantId ? by : null, reason, since } });
  }
  return lanes;
}
