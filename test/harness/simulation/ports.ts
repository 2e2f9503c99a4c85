/**
 * The engine's ports as one chain of work sees them: every call stops until the scheduler lets it through, in one of its
 * ways. The first way is that all goes well; in the others the store is away, an answer is lost, a statement is sent again.
 */
import type { FlowQueue } from '../../../src/engine/ports/queue.ts';
import type { ReconcileStore } from '../../../src/engine/ports/reconcile.ts';
import type { Lookup } from '../../../src/engine/ports/rows.ts';
import type { RetryStore, RunStore } from '../../../src/engine/ports/runs.ts';
import type { TaskStore } from '../../../src/engine/ports/tasks.ts';
import type { FakeQueue, Lease } from '../fakes/queue.ts';
import type { FakeStore } from '../fakes/store.ts';

/** A process that may die or sleep. What it has under way when it dies never goes on. */
export interface Actor {
  name: string;
  alive: boolean;
  asleep: boolean;
  shutdown: AbortController;
}

/** One delivery, one reconcile pass, one request: calls in a row, made by one process. */
export interface Chain {
  actor: Actor;
  name: string;
  lease: Lease | undefined;
  /** All that it was answered. It is what its local state is made of, as the engine is deterministic. */
  history: string;
  ended: boolean;
  /** Not stopped at calls. */
  instant: boolean;
  /** Its own task was final already when it was looked up. */
  sawFinal: boolean;
  /** The token that it has, as far as it knows. */
  fence: number;
}

export interface Way {
  name: string;
  go(): void;
}
export interface Call {
  chain: Chain;
  what: string;
  /** The first is the good one. */
  ways: Way[];
}
export type Ways<T> = { [name: string]: () => Promise<T> };
/** Stops until one of the ways is chosen. */
export type Stop = <T>(chain: Chain, what: string, ways: Ways<T>) => Promise<T>;

export const AWAY = new Error('the store cannot be reached');
export const WELL = '';

/** What the ports can be made to get wrong, to see that something notices. */
export interface Faulty {
  /** Gates stay where they are. */
  keepGates?: boolean;
  /** A delivery does not find its own task when it is final. */
  blindLookUp?: boolean;
  /** After an add the states are not read again: what was read before it has to do. */
  noSecondReading?: boolean;
}

export interface FakePorts {
  tasks: TaskStore;
  runs: RunStore;
  reconcile: ReconcileStore;
  retries: RetryStore;
  queue: FlowQueue;
}

export interface PortsOptions {
  chain: Chain;
  stop: Stop;
  store: FakeStore;
  queue: FakeQueue;
  faulty: Faulty;
  /** An outcome other than a success was written although a newer token had been issued. */
  onOutdated(what: string): void;
}

export function createFakePorts({ chain, stop, store, queue, faulty, onOutdated }: PortsOptions): FakePorts {
  let added = false;
  let lastRead: Lookup | undefined;

  const well = <T>(what: string, effect: () => Promise<T>) => stop(chain, what, { [WELL]: effect });
  /** The caller gets the error that the store is away: it was before the call, or the answer was lost. */
  const maybe = <T>(what: string, effect: () => Promise<T>) =>
    stop<T>(chain, what, {
      [WELL]: effect,
      fails: () => Promise.reject(AWAY),
      'answer lost': () => effect().then(() => Promise.reject(AWAY)),
    });
  /** The store itself sends it until it is answered. */
  const persistently = <T>(what: string, effect: () => Promise<T>) =>
    stop<T>(chain, what, { [WELL]: effect, 'answer lost': () => effect().then(() => well(`${what} again`, effect)) });

  return {
    queue: {
      ...queue,
      add: async (runs) => {
        await maybe('add', () => queue.add(runs));
        added = true;
      },
      removeGates: (gates) =>
        gates.length === 0 || faulty.keepGates === true
          ? Promise.resolve()
          : maybe('remove gates', () => queue.removeGates(gates)),
      removeEnded: (jobs) =>
        jobs.length === 0 ? Promise.resolve() : maybe('remove ended', () => queue.removeEnded(jobs)),
      promote: (jobs) => (jobs.length === 0 ? Promise.resolve() : maybe('promote', () => queue.promote(jobs))),
      removeTrees: (roots) => maybe('remove trees', () => queue.removeTrees(roots)),
      state: (name, jobId) => well(`state ${jobId}`, () => queue.state(name, jobId)),
    },
    tasks: {
      lookup: (request) =>
        well('look up', async () => {
          const found = await store.tasks.lookup(request);
          const own = chain.lease?.delivery.data.action_id ?? '';
          const ownIsFinal = found.tasks.get(own)?.final === true;
          if (ownIsFinal) chain.sawFinal = true;
          chain.fence = found.tasks.get(own)?.fence ?? 1;
          if (!ownIsFinal || faulty.blindLookUp !== true) return found;
          return { ...found, tasks: new Map([...found.tasks].filter(([id]) => id !== own)) };
        }),
      claim: (task) =>
        persistently('claim', async () => {
          const token = await store.tasks.claim(task);
          chain.fence = token?.fence ?? chain.fence;
          return token;
        }),
      commit: (outcome) =>
        persistently(`commit ${outcome.status} f${outcome.fence}`, async () => {
          const before = store.task(outcome.runId, outcome.actionId);
          const answer = await store.tasks.commit(outcome);
          const task = store.task(outcome.runId, outcome.actionId);
          if (task !== before && outcome.status !== 'completed' && outcome.fence < (task?.fence ?? 0)) {
            onOutdated(`${outcome.actionId} ${outcome.status} with token ${outcome.fence}`);
          }
          return answer;
        }),
      announce: (...of) => maybe('announce', () => store.tasks.announce(...of)),
      // By a timer of the engine's own, and time does not pass here: an execution that is slow is a way of its start.
      markRunning: async () => undefined,
      wake: (...woken) => persistently('wake', () => store.tasks.wake(...woken)),
      recordLateEffect: (...late) => well('late effect', () => store.tasks.recordLateEffect(...late)),
    },
    runs: {
      ...store.runs,
      statuses: (id) =>
        maybe('statuses', async () => {
          if (added && faulty.noSecondReading === true && lastRead !== undefined) return lastRead;
          lastRead = await store.runs.statuses(id);
          return lastRead;
        }),
      statusesOf: (ids) => maybe('statuses of', () => store.runs.statusesOf(ids)),
      startedAmong: (ids) =>
        maybe('begun among', async () =>
          added && faulty.noSecondReading === true ? new Set() : store.runs.startedAmong(ids),
        ),
      windowUse: (look) => maybe('look at the window', () => store.runs.windowUse(look)),
      finalize: (end) => maybe('finalize', () => store.runs.finalize(end)),
      markQueued: (id, epoch) => maybe('mark queued', () => store.runs.markQueued(id, epoch)),
      markQueuedAhead: (ids) => maybe('mark queued', () => store.runs.markQueuedAhead(ids)),
      requestCancel: (...request) => maybe('request cancel', () => store.runs.requestCancel(...request)),
      endAbnormally: (...end) => maybe('end abnormally', () => store.runs.endAbnormally(...end)),
    },
    reconcile: {
      ...store.reconcile,
      raiseGen: (...run) => maybe('raise gen', () => store.reconcile.raiseGen(...run)),
      takePending: (...page) => maybe('take pending', () => store.reconcile.takePending(...page)),
      fallAsleep: (...run) => maybe('fall asleep', () => store.reconcile.fallAsleep(...run)),
      rouse: (...run) => maybe('rouse', () => store.reconcile.rouse(...run)),
      leaveQueue: (...run) => maybe('leave the queue', () => store.reconcile.leaveQueue(...run)),
      takeToCheck: (...page) => maybe('take to check', () => store.reconcile.takeToCheck(...page)),
    },
    retries: { reopen: (retry) => maybe('reopen', () => store.retries.reopen(retry)) },
  };
}
