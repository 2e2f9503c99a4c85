/** What is done to the service, one after the other. */
import { inject } from '../test/harness/faults/inject.ts';
import type { FaultKind } from '../test/harness/faults/schedule.ts';
import type { ProcessOfStation, Station } from '../test/harness/faults/station.ts';

export interface Fault {
  title: string;
  /** Resolves when what was broken is there again. */
  inject(station: Station): Promise<void>;
}

function now(station: Station, kind: FaultKind, lengthMs = 0): Promise<void> {
  return inject(station, { kind, atMs: 0, lengthMs, worker: 0 });
}

/** The victims are started again by their supervisor. */
async function kill(station: Station, kind: FaultKind, victims: readonly ProcessOfStation[]): Promise<void> {
  const before = await Promise.all(victims.map(({ process }) => process.child()));
  await now(station, kind);
  await Promise.all(before.map((child, index) => victims[index]?.process.next(child)));
}

const ON_REDIS: Fault[] = [
  { title: 'Redis is wiped', inject: (station) => now(station, 'redis_flush') },
  { title: 'Redis is killed and loses its newest writes', inject: (station) => now(station, 'redis_tail_lost') },
];

/** A worker is not heard of for `lockMs` before its tasks go to others. */
export function faultsOf({ backend }: Station, lockMs: number): Fault[] {
  return [
    ...(backend === 'redis' ? ON_REDIS : []),
    {
      title: 'a worker is killed',
      inject: (station) => kill(station, 'kill_worker', station.workers.slice(0, 1)),
    },
    { title: 'all workers are killed', inject: (station) => kill(station, 'kill_workers', station.workers) },
    { title: 'the API is killed', inject: (station) => kill(station, 'kill_api', [station.api]) },
    { title: 'PostgreSQL crashes and restarts', inject: (station) => now(station, 'postgres_restart') },
    {
      title: 'a worker is stopped for longer than its lock, then goes on',
      inject: (station) => now(station, 'stop_worker', lockMs * 1.25),
    },
  ];
}
