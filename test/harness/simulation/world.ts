/**
 * A small world in one thread: a run, workers that crash, sleep and stall, a queue that forgets, a reconciler, users who
 * cancel and retry. The engine is the real one; its ports stop at every call until whoever plays the world lets it
 * through. Nothing here is decided by chance.
 */
import { createAdmission } from '../../../src/engine/accept/admit.ts';
import { createFairness } from '../../../src/engine/accept/fairness.ts';
import type { Plans } from '../../../src/engine/accept/plans.ts';
import { createCancelRuns } from '../../../src/engine/control/cancel-run.ts';
import { createPauseRuns } from '../../../src/engine/control/pause-run.ts';
import { createRetryRuns } from '../../../src/engine/control/retry-run.ts';
import { type ExecuteDeps, executeTask, settleLostJob } from '../../../src/engine/deliver/execute-task.ts';
import { NO_LOGS } from '../../../src/engine/deliver/task-logs.ts';
import { NO_REPORTS } from '../../../src/engine/deliver/task-reports.ts';
import type { Control, ExecutionResult } from '../../../src/engine/ports/executor.ts';
import { NO_FAILPOINT } from '../../../src/engine/ports/failpoint.ts';
import type { Disposition } from '../../../src/engine/ports/queue.ts';
import type { TaskRow } from '../../../src/engine/ports/rows.ts';
import { cleanGates } from '../../../src/engine/recover/clean-gates.ts';
import { reconcileOnce } from '../../../src/engine/recover/reconcile.ts';
import { createManualCompletion } from '../../../src/features/manual-completion/complete-manually.ts';
import { createFakeControl } from '../fakes/control.ts';
import { ALL_RULES, type FenceRules } from '../fakes/fence.ts';
import { NO_CHILDREN } from '../fakes/no-children.ts';
import { createFakeQueue, type FakeJob, type FakeQueue, type Lease } from '../fakes/queue.ts';
import { createFakeStore, type FakeStore } from '../fakes/store.ts';
import { newRun, outcome } from '../outcomes.ts';
import {
  type Actor,
  AWAY,
  type Call,
  type Chain,
  createFakePorts,
  type FakePorts,
  type Faulty,
  type Stop,
  WELL,
} from './ports.ts';

/** What can be switched off, to see that something notices. */
export interface Sabotage extends Faulty {
  rules?: Partial<FenceRules>;
  /** Neither dispatcher nor reconciler does anything. */
  noSweep?: boolean;
}

export interface WorldOptions {
  plans: Plans;
  sabotage?: Sabotage;
  /** Chains keep what they were answered, so that states of the world can be distinguished. */
  remember?: boolean;
  /** An execution may sleep for so long that its run leaves the queue. */
  longSleeps?: boolean;
  /** Calls that go on at once: a search visits fewer moments. */
  unstopped?: ReadonlySet<string>;
}

export interface Execution {
  actionId: string;
  attempt: number;
  /** Dependencies that were not final in the epoch of the execution. */
  open: string[];
  /** Its outcome was committed already when this delivery looked it up. */
  wasFinal: boolean;
}

export interface World {
  store: FakeStore;
  queue: FakeQueue;
  /** What was done, for whoever reads a red seed. */
  story: string[];
  calls: Call[];
  chains: Set<Chain>;
  executed: Execution[];
  /** Outcomes other than a success that counted although a newer token had been issued. */
  outdated: string[];
  unexpected: unknown[];
  workers: Actor[];
  api: Actor;
  reconciler: Actor;
  /** Jobs that were missing in the last reconcile pass. */
  suspects: Map<string, string>;
  /** Something may have been left half done, or came back: only the nets clear it away. */
  interrupted: boolean;
  now: number;
  /** Executions that can be stopped by a cancellation. */
  watched(): number;
  /** Lets every continuation run until it stands at a port again. */
  settle(): Promise<void>;
  let(call: Call, way: number): void;
  accept(): void;
  cancel(): void;
  retry(): void;
  pause(): void;
  resume(): void;
  /** Skips the action, or completes it with an output. */
  settleByHand(actionId: string, skips: boolean): void;
  /** `confirmed`: it has checked already once, at this moment. */
  reconcile(confirmed?: boolean): Promise<void>;
  clean(): Promise<void>;
  take(worker: Actor, job: FakeJob): void;
  /** BullMQ gives a job up: it stalled too often. A worker that lives gets the event. */
  giveUp(job: FakeJob, worker: Actor): void;
  crash(actor: Actor): void;
  rollBack(bringBack: () => void): void;
  noticeCancel(): void;
}

export const RUN_ID = 'run';
const CALLER = { tenantId: 't', userId: 'u', correlationId: undefined, traceId: '' };
const WINDOW = 100;
/** Of a sleep that leaves the queue. */
const LONG_MS = 600_000;
const NONE: ReadonlySet<string> = new Set();
const DEAD = new Error('the process is dead');
const never = new Promise<never>(() => undefined);
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

export function createWorld({
  plans,
  sabotage = {},
  remember = false,
  longSleeps = false,
  unstopped = NONE,
}: WorldOptions): World {
  const store = createFakeStore({ ...ALL_RULES, ...sabotage.rules }, () => world.now);
  const queue = createFakeQueue();
  const calls: Call[] = [];
  const story: string[] = [];
  const watchers = new Set<() => void>();
  const quiet = { failpoint: NO_FAILPOINT, log: silent, children: NO_CHILDREN };
  const takes = new Map<string, number>();
  const count = (counts: Map<string, number>, key: string) => {
    counts.set(key, (counts.get(key) ?? 0) + 1);
    return counts.get(key) ?? 0;
  };
  const newActor = (name: string): Actor => ({ name, alive: true, asleep: false, shutdown: new AbortController() });

  const stop: Stop = (chain, what, ways) => {
    if (!chain.actor.alive) return never;
    const goOn = chain.instant || unstopped.has(what);
    return new Promise((resolve, reject) => {
      const options = Object.entries(ways).map(([name, effect]) => ({
        name,
        go: () => {
          const answered = effect();
          if (remember) {
            const note = (answer: unknown) => {
              chain.history += `|${what}/${name}=${JSON.stringify(answer, readable(chain))}`;
            };
            answered.then(note, () => note('away'));
          }
          answered.then(resolve, reject);
        },
      }));
      if (goOn) options[0]?.go();
      else calls.push({ chain, what, ways: options });
    });
  };

  const portsOf = (chain: Chain) =>
    createFakePorts({
      chain,
      stop,
      store,
      queue,
      faulty: sabotage,
      onOutdated: (what) => world.outdated.push(what),
    });

  function start(
    actor: Actor,
    name: string,
    work: (ports: FakePorts, chain: Chain) => Promise<unknown>,
    lease?: Lease,
  ) {
    const chain: Chain = { actor, name, lease, history: '', ended: false, instant: false, sawFinal: false, fence: 1 };
    world.chains.add(chain);
    const running = work(portsOf(chain), chain).catch((error: unknown) => {
      if (error !== AWAY) world.unexpected.push(error);
    });
    return running.finally(() => {
      chain.ended = true;
      world.chains.delete(chain);
    });
  }

  async function show(chain: Chain, actionId: string, attempt: number): Promise<void> {
    const { epoch = 0 } = chain.lease?.delivery.data ?? {};
    const task = outcome({ runId: RUN_ID, actionId, epoch, attempt, fence: chain.fence, worker: 'worker' });
    await store.tasks.markRunning(task);
  }

  async function execute(chain: Chain, actionId: string, attempt: number): Promise<ExecutionResult> {
    // A cancellation may end the task before its adapter has really started.
    const wasFinal = chain.sawFinal;
    const noteBegin = async () => {
      const plan = await plans.of(newRun(RUN_ID).of);
      const before = (plan.byId.get(actionId)?.dependsOn ?? []).map((at) => plan.actions[at]?.action.action_id ?? '');
      // Of an epoch that is over nothing is left to compare with.
      const isOld = chain.lease?.delivery.data.epoch !== store.truth.runs.get(RUN_ID)?.epoch;
      const open = isOld ? [] : before.filter((id) => store.task(RUN_ID, id)?.final !== true);
      world.executed.push({ actionId, attempt, open, wasFinal });
    };
    await stop(chain, 'begin', {
      [WELL]: noteBegin,
      'is slow': () => noteBegin().then(() => show(chain, actionId, attempt)),
    });
    const fails = (retryable: boolean) => async (): Promise<ExecutionResult> => ({
      result: 'failure',
      failure: { code: 'network_error', message: 'no', retryable },
    });
    return stop<ExecutionResult>(chain, 'finish', {
      [WELL]: async () => ({ result: 'output', output: chain.name }),
      fails: fails(true),
      'fails for good': fails(false),
      sleeps: async () => ({ result: 'sleep', until: new Date(0) }),
      ...(longSleeps
        ? { 'sleeps long': async () => ({ result: 'sleep' as const, until: new Date(world.now + LONG_MS) }) }
        : {}),
    });
  }

  const control: Control = {
    watch(_runId, stopWork) {
      watchers.add(stopWork);
      return () => watchers.delete(stopWork);
    },
  };
  const depsOf = (ports: FakePorts, chain: Chain): ExecuteDeps => {
    let ids = 0;
    return {
      ...ports,
      ...quiet,
      parts: store.parts,
      sagas: store.sagas,
      plans,
      reports: NO_REPORTS,
      logs: NO_LOGS,
      cancelRun: async () => 'cancelling',
      executor: { literalFields: () => [], execute: ({ actionId, attempt }) => execute(chain, actionId, attempt) },
      expressions: { evaluate: async () => true },
      cache: { find: async () => undefined, store: async () => undefined, forget: async () => undefined },
      control,
      shutdown: chain.actor.shutdown.signal,
      secrets: { of: () => Promise.resolve(new Map()) },
      newId: () => `${chain.name}.${++ids}`,
      random: () => 0,
      now: () => world.now,
      worker: 'worker',
      maxOutputBytes: 1_000,
    };
  };

  /** As a lane does: a store that is away puts the job off, anything else is a fault of the engine. */
  async function work(ports: FakePorts, chain: Chain, lease: Lease): Promise<void> {
    const deps = depsOf(ports, chain);
    const disposition = await executeTask(deps, lease.delivery).catch((error: unknown): Disposition => {
      if (error !== AWAY) world.unexpected.push(error);
      return { job: 'delay', untilMs: 0 };
    });
    const end = async () => {
      queue.end(lease, disposition);
      const job = queue.job(lease.delivery.queue, lease.delivery.jobId);
      return disposition.job === 'complete' && job?.state === 'failed';
    };
    const lost = await stop(chain, `end ${disposition.job}`, {
      [WELL]: end,
      fails: () => Promise.reject(AWAY),
      'answer lost': () => end().then(() => Promise.reject(AWAY)),
    });
    if (lost) await settleLostJob(deps, lease.delivery, 'it was given up');
  }

  const controls = createFakeControl(store);
  /** The caller gets the error that the store is away: it was before the call, or the answer was lost. */
  const uncertain = <T>(chain: Chain, what: string, effect: () => Promise<T>) =>
    stop<T>(chain, what, {
      [WELL]: effect,
      fails: () => Promise.reject(AWAY),
      'answer lost': () => effect().then(() => Promise.reject(AWAY)),
    });
  const pausing = (ports: FakePorts, chain: Chain) =>
    createPauseRuns({
      ...ports,
      ...quiet,
      plans,
      pauses: {
        ...controls.pauses,
        pause: (...call) => uncertain(chain, 'set paused', () => controls.pauses.pause(...call)),
        resume: (...call) => uncertain(chain, 'set resumed', () => controls.pauses.resume(...call)),
      },
    });

  const world: World = {
    store,
    queue,
    story,
    calls,
    chains: new Set(),
    executed: [],
    outdated: [],
    unexpected: [],
    workers: [newActor('w1'), newActor('w2')],
    api: newActor('api'),
    reconciler: newActor('reconciler'),
    suspects: new Map(),
    interrupted: false,
    now: 0,
    watched: () => watchers.size,
    settle: () => new Promise((resolve) => setImmediate(resolve)),
    let(call, way) {
      const chosen = call.ways[way];
      if (chosen === undefined) throw new Error(`'${call.what}' has no way ${way}`);
      calls.splice(calls.indexOf(call), 1);
      const trouble = chosen.name === WELL ? '' : ` (${chosen.name})`;
      story.push(`${call.chain.actor.name}, ${call.chain.name}: ${call.what}${trouble}`);
      if (chosen.name === 'fails' || chosen.name === 'answer lost') world.interrupted = true;
      chosen.go();
    },
    accept() {
      const run = newRun(RUN_ID);
      store.insert({ id: run.id, of: run.of });
      const fairness = createFairness(() => 1);
      void start(world.api, 'accept', (ports) =>
        createAdmission({ ...ports, ...quiet, plans, window: WINDOW, fairness, now: () => 0 }).admit([run]),
      );
    },
    cancel() {
      // That it has ended already is an answer too, and so is that the database is away.
      void start(world.api, 'cancel', (ports) =>
        createCancelRuns({ ...ports, ...quiet, plans })
          .cancelRun(CALLER, RUN_ID, undefined)
          .catch(() => undefined),
      );
    },
    retry() {
      void start(world.api, 'retry', (ports) =>
        createRetryRuns({ ...ports, ...quiet, sagas: store.sagas, plans, window: WINDOW, now: () => 0 })
          .retryRun(CALLER, RUN_ID)
          .catch(() => undefined),
      );
    },
    pause() {
      void start(world.api, 'pause', (ports, chain) =>
        pausing(ports, chain)
          .pauseRun(CALLER, RUN_ID, undefined)
          .catch(() => undefined),
      );
    },
    resume() {
      void start(world.api, 'resume', (ports, chain) =>
        pausing(ports, chain)
          .resumeRun(CALLER, RUN_ID, undefined)
          .catch(() => undefined),
      );
    },
    settleByHand(actionId, skips) {
      void start(world.api, `settle ${actionId}`, (ports, chain) => {
        const byHand = createManualCompletion({
          ...ports,
          ...quiet,
          plans,
          ends: { settle: (...call) => uncertain(chain, 'settle', () => controls.byHand.settle(...call)) },
          newId: () => `by hand ${count(takes, 'by hand')}`,
          now: () => new Date(0),
          maxOutputBytes: 1_000,
        });
        const done = skips
          ? byHand.skip(CALLER, { runId: RUN_ID, actionId }, { reason: undefined })
          : byHand.complete(CALLER, { runId: RUN_ID, actionId }, 'by hand', { reason: undefined });
        return done.catch(() => undefined);
      });
    },
    async reconcile(confirmed = false) {
      if (sabotage.noSweep === true) return;
      if ([...world.chains].some(({ actor }) => actor === world.reconciler)) return;
      const { suspects } = world;
      const pass = (ports: FakePorts) =>
        reconcileOnce({
          ...ports,
          ...quiet,
          sagas: store.sagas,
          plans,
          window: WINDOW,
          fairness: createFairness(() => 1),
          now: () => world.now,
          checkEveryMs: 30_000,
          suspects,
          queueUse: async () => undefined,
        });
      if (confirmed) {
        store.due.add(RUN_ID);
        await start(world.reconciler, 'check', (ports, chain) => {
          chain.instant = true;
          return pass(ports);
        });
      }
      store.due.add(RUN_ID);
      void start(world.reconciler, 'reconcile', pass);
    },
    async clean() {
      await cleanGates(
        {
          queue: { removeGates: queue.removeGates, gatePage: async () => queue.gates() },
          runs: { ended: async (ids) => new Set(ids.filter((id) => store.truth.runs.get(id)?.final !== false)) },
        },
        0,
      );
    },
    take(worker, job) {
      const { action_id: actionId = 'gate' } = job.node.data ?? {};
      const name = `${actionId ?? 'end'} of ${job.node.data?.epoch}, take ${count(takes, job.key)}`;
      story.push(`${worker.name} takes ${name}`);
      const lease = queue.take(job);
      void start(worker, name, (ports, chain) => work(ports, chain, lease), lease);
    },
    giveUp(job, worker) {
      const delivery = queue.giveUp(job);
      const name = `${job.jobId} given up`;
      story.push(name);
      void start(worker, name, (ports, chain) => settleLostJob(depsOf(ports, chain), delivery, 'stalled too often'));
    },
    crash(actor) {
      actor.alive = false;
      story.push(`${actor.name} dies`);
      for (let index = calls.length - 1; index >= 0; index -= 1)
        if (calls[index]?.chain.actor === actor) calls.splice(index, 1);
      for (const chain of world.chains) {
        if (chain.actor !== actor) continue;
        world.interrupted = true;
        world.chains.delete(chain);
      }
      // Only so that its timers go; nothing of it is let through any more.
      actor.shutdown.abort(DEAD);
      const next = newActor(actor.name);
      if (actor === world.reconciler) {
        world.reconciler = next;
        world.suspects.clear();
      } else if (actor === world.api) world.api = next;
      else world.workers = world.workers.map((worker) => (worker === actor ? next : worker));
    },
    rollBack(bringBack) {
      story.push('the queue loses its newest writes');
      world.interrupted = true;
      bringBack();
    },
    noticeCancel() {
      if (store.truth.runs.get(RUN_ID)?.status !== 'cancelling') return;
      for (const stopWork of watchers) stopWork();
      watchers.clear();
    },
  };
  return world;
}

/** Maps too, of final rows what still counts, and the delivery that was announced as seen from this one. */
function readable({ lease }: Chain): (key: string, value: unknown) => unknown {
  const started = lease?.delivery.attemptsStarted ?? 0;
  return (key, value) => {
    if (value instanceof Map) return [...value];
    if (isFinalRow(value)) return [value.actionId, value.status, value.tolerated, value.output];
    return key === 'nextDelivery' && typeof value === 'number' ? value - started : value;
  };
}

function isFinalRow(value: unknown): value is TaskRow {
  return typeof value === 'object' && value !== null && 'actionId' in value && 'final' in value && value.final === true;
}
