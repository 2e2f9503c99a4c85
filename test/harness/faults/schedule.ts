/** Which faults a seed injects, and when. A pure function of the seed: the same seed breaks the same things again. */
import { unreachable } from '../../../src/domain/errors.ts';
import { createRandom, type Random } from '../random.ts';
import type { BackendKind } from '../servers/backends.ts';

export type FaultKind =
  | 'kill_worker'
  | 'kill_workers'
  | 'kill_api'
  | 'stop_api'
  | 'stop_worker'
  | 'roll_workers'
  | 'postgres_restart'
  | 'postgres_away'
  | 'postgres_terminate'
  | 'reset_connections'
  | 'slow_connections'
  | 'cut_off_worker'
  | 'duplicate_delivery'
  | 'redis_restart'
  | 'redis_tail_lost'
  | 'redis_flush'
  | 'redis_stop'
  | 'redis_pause';

export interface Fault {
  kind: FaultKind;
  /** After the beginning of the load. */
  atMs: number;
  /** How long it lasts; 0 for what happens at once. */
  lengthMs: number;
  /** Which worker, where it hits one. */
  worker: number;
}
export interface Schedule {
  seed: number;
  backend: BackendKind;
  workers: number;
  /** In the order of their times. */
  faults: Fault[];
  /** How long runs are begun; no fault begins after it. */
  loadMs: number;
}

/** Longer than a lock of the processes under test, which is 1.5 s. */
const PAST_THE_LOCK_MS = 2_500;

type Length = readonly [number, number];
const AT_ONCE: Length = [0, 0];
const ANYWHERE: ReadonlyArray<readonly [FaultKind, Length]> = [
  ['kill_worker', AT_ONCE],
  ['kill_workers', AT_ONCE],
  ['kill_api', AT_ONCE],
  ['stop_api', [1_000, 3_000]],
  ['stop_worker', [PAST_THE_LOCK_MS, 4_000]],
  ['roll_workers', AT_ONCE],
  ['postgres_restart', AT_ONCE],
  ['postgres_away', [1_500, 4_000]],
  ['postgres_terminate', [600, 1_800]],
  ['reset_connections', AT_ONCE],
  ['slow_connections', [1_000, 2_500]],
  ['cut_off_worker', [PAST_THE_LOCK_MS, 4_000]],
  ['duplicate_delivery', AT_ONCE],
];
const ON_REDIS: ReadonlyArray<readonly [FaultKind, Length]> = [
  ['redis_restart', [0, 2_000]],
  ['redis_tail_lost', [0, 500]],
  ['redis_flush', AT_ONCE],
  ['redis_stop', [PAST_THE_LOCK_MS, 4_000]],
  ['redis_pause', [1_000, 3_000]],
];

export function scheduleOf(seed: number, backend: BackendKind, loadMs = 15_000): Schedule {
  const random = createRandom(seed * 2 + (backend === 'redis' ? 0 : 1));
  const workers = random.whole(2, 3);
  // What is drawn is not drawn again before all others were: a few seeds together have everything.
  let left: Array<readonly [FaultKind, Length]> = [];
  const faults: Fault[] = [];
  const count = random.whole(5, 8);
  for (let n = 0; n < count; n += 1) {
    if (left.length === 0) left = [...ANYWHERE, ...(backend === 'redis' ? ON_REDIS : [])];
    const [drawn] = left.splice(random.whole(0, left.length - 1), 1);
    if (drawn !== undefined) faults.push(faultOf(random, drawn, workers, loadMs));
  }
  return { seed, backend, workers, faults: faults.sort((a, b) => a.atMs - b.atMs), loadMs };
}

function faultOf(random: Random, [kind, [min, max]]: readonly [FaultKind, Length], workers: number, loadMs: number) {
  const lengthMs = random.whole(min, max);
  return { kind, atMs: random.whole(1_000, loadMs), lengthMs, worker: random.whole(0, workers - 1) };
}

/** Whether a fault can make a task that is under way be executed a second time. */
export function canRepeatWork({ kind }: Pick<Fault, 'kind'>, backend: BackendKind): boolean {
  switch (kind) {
    case 'kill_api':
    case 'stop_api':
      return false;
    case 'postgres_restart':
    case 'postgres_away':
    case 'postgres_terminate':
      // Where the queue is in PostgreSQL too, its locks cannot be renewed meanwhile.
      return backend === 'postgres';
    case 'kill_worker':
    case 'kill_workers':
    case 'stop_worker':
    case 'roll_workers':
    case 'reset_connections':
    case 'slow_connections':
    case 'cut_off_worker':
    case 'duplicate_delivery':
    case 'redis_restart':
    case 'redis_tail_lost':
    case 'redis_flush':
    case 'redis_stop':
    case 'redis_pause':
      return true;
    default:
      return unreachable(kind);
  }
}

/** Whether a process may stand still between two steps of one delivery for as long as the fault lasts. */
export function canHoldWork({ kind }: Pick<Fault, 'kind'>): boolean {
  return kind === 'stop_worker' || kind === 'cut_off_worker' || kind === 'slow_connections';
}

export function describeFault({ kind, atMs, lengthMs, worker }: Fault): string {
  const which = WITH_WORKER.has(kind) ? ` ${worker}` : '';
  return `${(atMs / 1000).toFixed(1)} s ${kind}${which}${lengthMs > 0 ? ` for ${(lengthMs / 1000).toFixed(1)} s` : ''}`;
}
const WITH_WORKER: ReadonlySet<FaultKind> = new Set(['kill_worker', 'stop_worker', 'cut_off_worker']);
