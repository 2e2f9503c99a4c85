/**
 * A small world in one thread: a run, workers that crash and stall, a queue that forgets, a sweep, and a scheduler that
 * decides by a seed which of all the calls under way goes on next. The engine is the real one; its ports stop at every
 * call until they are let through. What must always hold is looked at after every step.
 */
import { createAdmission } from '../../src/engine/admit.ts';
import { createCancelRuns } from '../../src/engine/cancel-run.ts';
import { type ExecuteDeps, executeTask, settleLostJob } from '../../src/engine/execute-task.ts';
import { NO_FAILPOINT } from '../../src/engine/failpoint.ts';
import type { Plans } from '../../src/engine/plans.ts';
import type {
  Control,
  Disposition,
  ExecutionResult,
  FlowQueue,
  RunStore,
  SweepStore,
  TaskStore,
} from '../../src/engine/ports.ts';
import { type SweepDeps, sweepOnce } from '../../src/engine/sweep.ts';
import type { FenceRules } from './fake-fence.ts';
import { ALL_RULES } from './fake-fence.ts';
import { createFakeQueue, type FakeJob, type FakeQueue, type Lease } from './fake-queue.ts';
import { createFakeStore, type FakeStore } from './fake-store.ts';
import { newRun } from './outcomes.ts';

export interface WorldOptions {
  plans: Plans;
  random(): number;
  rules?: FenceRules;
  /** Gates stay where they are: for a look at whether anything notices. */
  keepGates?: boolean;
}

/** A process that may die; what it has under way then never goes on. */
interface Actor {
  name: string;
  alive: boolean;
  shutdown: AbortController;
}
interface Call {
  actor: Actor;
  what: string;
  proceed(): void;
  /** As if the store had not been reached, or its answer had been lost. */
  fail: ((after: boolean) => void) | undefined;
}

export interface World {
  store: FakeStore;
  queue: FakeQueue;
  /** What was done, for whoever reads a red seed. */
  story: string[];
  calls: Call[];
  executed: Array<{ actionId: string; attempt: number; open: string[] }>;
  unexpected: unknown[];
  workers: Actor[];
  api: Actor;
  sweeper: Actor;
  /** Lets every continuation run until it stands at a port again. */
  settle(): Promise<void>;
  accept(): void;
  cancel(): void;
  sweep(): void;
  take(worker: Actor, job: FakeJob): void;
  crash(actor: Actor): Actor;
  noticeCancel(): void;
}

export const RUN_ID = 'run';
export const AWAY = new Error('the queue cannot be reached');
const never = new Promise<never>(() => undefined);
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

export function createWorld(options: WorldOptions): World {
  const { random, plans } = options;
  const store = createFakeStore(options.rules ?? ALL_RULES);
  const queue = createFakeQueue();
  const calls: Call[] = [];
  const story: string[] = [];
  const executed: World['executed'] = [];
  const unexpected: unknown[] = [];
  const watchers = new Set<() => void>();
  let ids = 0;
  /** The newest token of each action, as it was given out. */
  const issued = new Map<string, number>();
  let sweeping = false;
  const suspects = new Map<string, string>();

  const newActor = (kind: string): Actor => {
    ids += 1;
    return { name: `${kind}${ids}`, alive: true, shutdown: new AbortController() };
  };

  function at<T>(actor: Actor, what: string, effect: () => Promise<T>, canFail = false): Promise<T> {
    if (!actor.alive) return never;
    return new Promise<T>((resolve, reject) => {
      calls.push({
        actor,
        what,
        proceed: () => void effect().then(resolve, reject),
        fail: canFail
          ? (after) => void (after ? effect() : Promise.resolve()).then(() => reject(AWAY), reject)
          : undefined,
      });
    });
  }

  const queueOf = (actor: Actor): FlowQueue => ({
    add: (runs) => at(actor, `add ${runs.flat().map(({ name }) => name)}`, () => queue.add(runs), true),
    removeGates: (gates) =>
      gates.length === 0 || options.keepGates === true
        ? Promise.resolve()
        : at(actor, `remove ${gates}`, () => queue.removeGates(gates), true),
    removeEnded: (jobs) =>
      jobs.length === 0
        ? Promise.resolve()
        : at(actor, `remove ended ${jobs.length}`, () => queue.removeEnded(jobs), true),
    promote: (jobs) => at(actor, 'promote', () => queue.promote(jobs), true),
    state: (name, jobId) => at(actor, `state ${jobId}`, () => queue.state(name, jobId)),
    wasWiped: () => queue.wasWiped(),
    markSeen: () => queue.markSeen(),
    ping: () => queue.ping(),
  });
  const tasksOf = (actor: Actor): TaskStore => ({
    lookup: (request) => at(actor, 'look up', () => store.tasks.lookup(request)),
    claim: (task) =>
      at(actor, `claim ${task.actionId}`, async () => {
        const token = await store.tasks.claim(task);
        if (token !== undefined) issued.set(task.actionId, token.fence);
        return token;
      }),
    commit: (outcome) =>
      at(actor, `commit ${outcome.actionId} ${outcome.status} f${outcome.fence}`, async () => {
        const answer = await store.tasks.commit(outcome);
        const isOld = outcome.fence < (issued.get(outcome.actionId) ?? 1);
        if (answer === 'accepted' && isOld && outcome.status !== 'completed') {
          unexpected.push(`${outcome.actionId} ${outcome.status} of an old holder counted`);
        }
        // An answer that is lost: the store sends the same outcome again.
        return random() < 0.1 ? store.tasks.commit(outcome) : answer;
      }),
    markRunning: (task) => store.tasks.markRunning(task),
    recordLateEffect: (outcome) => at(actor, 'late effect', () => store.tasks.recordLateEffect(outcome)),
  });
  const runsOf = (actor: Actor): RunStore => ({
    ...store.runs,
    statuses: (id) => at(actor, 'statuses', () => store.runs.statuses(id)),
    finalize: (end) => at(actor, 'finalize', () => store.runs.finalize(end)),
    markQueued: (id) => at(actor, 'mark queued', () => store.runs.markQueued(id)),
    requestCancel: (...request) => at(actor, 'request cancel', () => store.runs.requestCancel(...request)),
    endAbnormally: (...end) => at(actor, 'end abnormally', () => store.runs.endAbnormally(...end)),
  });
  const sweepOf = (actor: Actor): SweepStore => ({
    ...store.sweep,
    raiseGen: (...run) => at(actor, 'raise gen', () => store.sweep.raiseGen(...run)),
    takePending: (...page) => at(actor, 'take pending', () => store.sweep.takePending(...page)),
    takeToCheck: (...page) => at(actor, 'take to check', () => store.sweep.takeToCheck(...page)),
  });
  const control: Control = {
    watch(_runId, stop) {
      watchers.add(stop);
      return () => watchers.delete(stop);
    },
  };

  async function execute(actor: Actor, actionId: string, attempt: number): Promise<ExecutionResult> {
    await at(actor, `begin ${actionId}`, async () => {
      const { of } = newRun(RUN_ID);
      const plan = await plans.of(of);
      const planned = plan.byId.get(actionId);
      const before = (planned?.dependsOn ?? []).map((index) => plan.actions[index]?.action.action_id ?? '');
      executed.push({ actionId, attempt, open: before.filter((id) => store.task(RUN_ID, id)?.final !== true) });
    });
    return at(actor, `finish ${actionId}`, async (): Promise<ExecutionResult> => {
      const luck = random();
      if (luck < 0.7) return { result: 'output', output: `${actionId} by ${actor.name}` };
      if (luck < 0.8) return { result: 'sleep', until: new Date(0) };
      const failure = { code: 'network_error', message: 'no', retryable: luck < 0.95 };
      return { result: 'failure', failure };
    });
  }

  const depsOf = (actor: Actor): ExecuteDeps => ({
    plans,
    runs: runsOf(actor),
    tasks: tasksOf(actor),
    sweep: sweepOf(actor),
    queue: queueOf(actor),
    failpoint: NO_FAILPOINT,
    executor: { literalFields: () => [], execute: ({ actionId, attempt }) => execute(actor, actionId, attempt) },
    expressions: { evaluate: async () => true },
    control,
    shutdown: actor.shutdown.signal,
    secret: () => undefined,
    newId: () => `commit-${++ids}`,
    random,
    now: () => 0,
    worker: actor.name,
    maxOutputBytes: 1_000,
    log: silent,
  });

  /** As a lane does: a store that is away puts the job off, anything else is a fault of the engine. */
  async function work(actor: Actor, lease: Lease): Promise<void> {
    const deps = depsOf(actor);
    const disposition = await executeTask(deps, lease.delivery).catch((error: unknown): Disposition => {
      if (error !== AWAY) unexpected.push(error);
      return { job: 'delay', untilMs: 0 };
    });
    const lost = await at(actor, `end ${lease.delivery.jobId} ${disposition.job}`, async () => {
      queue.end(lease, disposition);
      const job = queue.job(lease.delivery.queue, lease.delivery.jobId);
      return disposition.job === 'complete' && job?.state === 'failed';
    });
    if (lost) await settleLostJob(deps, lease.delivery, 'it was given up').catch(expected);
  }
  const expected = (error: unknown) => {
    if (error !== AWAY) unexpected.push(error);
  };

  const world: World = {
    store,
    queue,
    story,
    calls,
    executed,
    unexpected,
    workers: [newActor('worker'), newActor('worker')],
    api: newActor('api'),
    sweeper: newActor('sweep'),
    settle: () => new Promise((resolve) => setImmediate(resolve)),
    accept() {
      const actor = world.api;
      const { id, of, priority } = newRun(RUN_ID);
      store.insert({ id, of });
      const runs = runsOf(actor);
      const quiet = { failpoint: NO_FAILPOINT, log: silent };
      const admission = createAdmission({ plans, runs, queue: queueOf(actor), window: 100, now: () => 0, ...quiet });
      void admission.admit([{ id, of, priority }]).catch(expected);
    },
    cancel() {
      const actor = world.api;
      const quiet = { failpoint: NO_FAILPOINT, log: silent };
      const cancel = createCancelRuns({ plans, runs: runsOf(actor), queue: queueOf(actor), ...quiet });
      const caller = { tenantId: 't', userId: 'u', correlationId: undefined, traceId: '' };
      // That it has ended already is an answer too.
      void cancel.cancelRun(caller, RUN_ID, undefined).catch(() => undefined);
    },
    sweep() {
      if (sweeping) return;
      sweeping = true;
      const actor = world.sweeper;
      const again = {
        plans,
        runs: runsOf(actor),
        sweep: sweepOf(actor),
        queue: queueOf(actor),
        failpoint: NO_FAILPOINT,
      };
      const deps: SweepDeps = {
        ...again,
        window: 100,
        checkEveryMs: 30_000,
        suspects,
        queueUse: async () => undefined,
        log: silent,
      };
      void sweepOnce(deps)
        .catch(expected)
        .finally(() => {
          sweeping = false;
        });
    },
    take(worker, job) {
      story.push(`${worker.name} takes ${job.jobId}`);
      void work(worker, queue.take(job)).catch((error: unknown) => unexpected.push(error));
    },
    crash(actor) {
      actor.alive = false;
      for (let index = calls.length - 1; index >= 0; index -= 1)
        if (calls[index]?.actor === actor) calls.splice(index, 1);
      // Only so that its timers go; nothing of it is let through any more.
      actor.shutdown.abort();
      if (actor === world.sweeper) sweeping = false;
      const next = newActor(actor.name.replace(/\d+$/, ''));
      if (actor === world.sweeper) world.sweeper = next;
      else if (actor === world.api) world.api = next;
      else world.workers = world.workers.map((worker) => (worker === actor ? next : worker));
      return next;
    },
    noticeCancel() {
      if (store.truth.runs.get(RUN_ID)?.status !== 'cancelling') return;
      for (const stop of watchers) stop();
      watchers.clear();
    },
  };
  return world;
}
