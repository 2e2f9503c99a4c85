/** One worker of the engine over hand-written ports in memory; the test delivers its jobs. */

import { type Action, DEFAULT_RETRY, type Definition } from '../../../src/domain/definition/definition.ts';
import { compileSegment, taskJobId } from '../../../src/domain/graph/compile.ts';
import { createPlans, type Plans } from '../../../src/engine/accept/plans.ts';
import { type ExecuteDeps, executeTask } from '../../../src/engine/deliver/execute-task.ts';
import { TRUSTED } from '../../../src/engine/deliver/jobs-in-hand.ts';
import { NO_LOGS } from '../../../src/engine/deliver/task-logs.ts';
import { NO_REPORTS } from '../../../src/engine/deliver/task-reports.ts';
import type { ExecutionCall, ExecutionResult, Executor } from '../../../src/engine/ports/executor.ts';
import { NO_FAILPOINT } from '../../../src/engine/ports/failpoint.ts';
import type { Delivery, Disposition } from '../../../src/engine/ports/queue.ts';
import { createSecretsOfTasks } from '../../../src/features/secrets/task-secrets.ts';
import type { JobData } from '../../../src/schemas/job.ts';
import type { Json } from '../../../src/schemas/json.ts';
import { definitionOf, type Edges } from '../dags.ts';
import { createTestLog, type TestLog } from '../test-log.ts';
import { createFakeCache, type FakeCache } from './cache.ts';
import type { FakeRun, FakeTask } from './fence.ts';
import { NO_CHILDREN } from './no-children.ts';
import { createFakeQueue, type FakeQueue, type Lease } from './queue.ts';
import { createFakeStore, type FakeStore } from './store.ts';

export const RUN = 'run';
export const WORKFLOW = { workflow_id: 'workflow', version: 1 };
export const NOW = 1_000_000;

/** What an action does when it is executed. */
export type Behaviour = (call: ExecutionCall) => ExecutionResult | Promise<ExecutionResult>;

export interface FakeEngine {
  deps: ExecuteDeps;
  store: FakeStore;
  queue: FakeQueue;
  cache: FakeCache;
  log: TestLog;
  shutdown: AbortController;
  calls: ExecutionCall[];
  /** Set per action; without one it gives `{from: <action_id>}`. */
  behaviours: Map<string, Behaviour>;
  /** Accepts the run and adds its first flow, as the API does. */
  start(): Promise<void>;
  take(actionId: string | null): Lease;
  work(lease: Lease): Promise<Disposition>;
  /** Takes the job of an action, works on it and ends it. */
  deliver(actionId: string | null): Promise<Disposition>;
  /** A delivery of what the queue no longer has, or not yet. */
  deliverByHand(actionId: string, counters?: Partial<Delivery>, data?: Partial<JobData>): Promise<Disposition>;
  /** Delivers whatever is ready until nothing is. */
  drain(): Promise<void>;
  run(): FakeRun | undefined;
  row(actionId: string): FakeTask | undefined;
  errorOf(actionId: string): unknown;
  /** For whoever watches the run: it is being cancelled. */
  cancel(): void;
}

export const failure = (message: string, retryable = true, code = 'network_error'): ExecutionResult => ({
  result: 'failure',
  failure: { code, message, retryable },
});
export const output = (value: unknown): ExecutionResult => ({ result: 'output', output: value });

/** A worker, and one run of the definition, accepted and in the queue. */
export async function startedEngine(
  edges: Edges,
  change?: (actionId: string) => Partial<Action>,
  rest: Partial<Definition> = {},
): Promise<FakeEngine> {
  const parameters = ['name', 'yes', 'no'].map((name) => ({ name, type: 'string' as const, required: false }));
  const engine = createFakeEngine(definitionOf(edges, change, { parameters, ...rest }));
  await engine.start();
  return engine;
}

/** At most so many tries, three seconds apart. */
export function tries(count: number): Pick<Action, 'retry'> {
  return {
    retry: { ...DEFAULT_RETRY, max_attempts: count, backoff: 'fixed', initial_delay_seconds: 3 },
  };
}

export function plansOf(definition: Definition): Plans {
  return createPlans({ load: async () => definition });
}

export function createFakeEngine(definition: Definition): FakeEngine {
  const store = createFakeStore();
  const queue = createFakeQueue();
  const cache = createFakeCache(store);
  const log = createTestLog();
  const shutdown = new AbortController();
  const calls: ExecutionCall[] = [];
  const behaviours = new Map<string, Behaviour>();
  const watchers = new Set<() => void>();
  const executor: Executor = {
    literalFields: () => [],
    async execute(call) {
      calls.push(call);
      return behaviours.get(call.actionId)?.(call) ?? output({ from: call.actionId });
    },
  };
  let ids = 0;
  const plans = plansOf(definition);
  const deps: ExecuteDeps = {
    plans,
    runs: store.runs,
    tasks: store.tasks,
    parts: store.parts,
    sagas: store.sagas,
    reconcile: store.reconcile,
    queue,
    cache,
    children: NO_CHILDREN,
    cancelRun: async () => 'cancelling',
    failpoint: NO_FAILPOINT,
    executor,
    reports: NO_REPORTS,
    logs: NO_LOGS,
    // A condition in these tests is the name of a parameter.
    expressions: { evaluate: async (name, { params }) => (params as Record<string, Json>)[name] ?? null },
    control: {
      watch(_runId, stop) {
        watchers.add(stop);
        return () => watchers.delete(stop);
      },
    },
    shutdown: shutdown.signal,
    secrets: createSecretsOfTasks({
      store: { sealed: () => Promise.resolve([]) },
      keyring: undefined,
      installed: { KEY: 'sesame' },
      shared: '*',
      now: () => 0,
    }),
    newId: () => `commit-${++ids}`,
    random: () => 0,
    now: () => NOW,
    worker: 'worker',
    maxOutputBytes: 1_000,
    log,
  };

  const jobOf = (actionId: string | null) =>
    queue.ready().find(({ node }) => node.data?.run_id === RUN && node.data.action_id === actionId);
  const engine: FakeEngine = {
    deps,
    store,
    queue,
    cache,
    log,
    shutdown,
    calls,
    behaviours,
    async start() {
      const run = store.insert({ id: RUN, of: WORKFLOW, parameters: { name: 'Ada', yes: true, no: false } });
      const plan = await plans.of(WORKFLOW);
      const flow = { runId: RUN, epoch: run.epoch, gen: 0, priority: run.priority, of: WORKFLOW };
      await queue.add([compileSegment(plan, 0, flow)]);
      await store.runs.markQueued(RUN);
    },
    take(actionId) {
      const job = jobOf(actionId);
      if (job === undefined) throw new Error(`no job of '${actionId ?? 'the finalizer'}' is ready`);
      return queue.take(job);
    },
    work: (lease) => executeTask(deps, lease.delivery),
    async deliver(actionId) {
      const lease = engine.take(actionId);
      const disposition = await engine.work(lease);
      queue.end(lease, disposition);
      return disposition;
    },
    deliverByHand(actionId, counters = {}, data = {}) {
      return executeTask(deps, {
        jobId: taskJobId(RUN, 1, actionId),
        queue: 'test_task',
        data: { v: 1, run_id: RUN, epoch: 1, gen: 0, action_id: actionId, of: WORKFLOW, ...data },
        attemptsMade: 0,
        attemptsStarted: 1,
        stalledCounter: 0,
        trust: TRUSTED,
        ...counters,
      });
    },
    async drain() {
      for (let job = queue.ready()[0]; job !== undefined; job = queue.ready()[0]) {
        const lease = queue.take(job);
        queue.end(lease, await engine.work(lease));
      }
    },
    run: () => store.truth.runs.get(RUN),
    row: (actionId) => store.task(RUN, actionId),
    errorOf: (actionId) => JSON.parse(store.task(RUN, actionId)?.error ?? 'null'),
    cancel() {
      for (const stop of watchers) stop();
    },
  };
  return engine;
}
