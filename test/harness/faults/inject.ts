/** Does what a fault says, to real processes, servers and connections, and tells when it began and was over. */
import { setTimeout as sleep } from 'node:timers/promises';
import { unreachable } from '../../../src/domain/errors.ts';
import { keysOf } from '../checker/at-rest.ts';
import type { Disturbance } from '../checker/calls.ts';
import { canHoldWork, canRepeatWork, type Fault, type FaultKind } from './schedule.ts';
import type { Station } from './station.ts';

const TERMINATE_EVERY_MS = 150;
const ROLL_PATIENCE_MS = 10_000;
const SLOW_MS = 60;
const TAIL_LOST = 0.1;

/** Faults of the same part come one after the other; of different parts, together. */
const PART_OF: Record<FaultKind, 'processes' | 'postgres' | 'redis' | 'network'> = {
  kill_worker: 'processes',
  kill_workers: 'processes',
  kill_api: 'processes',
  stop_api: 'processes',
  stop_worker: 'processes',
  roll_workers: 'processes',
  duplicate_delivery: 'processes',
  postgres_restart: 'postgres',
  postgres_away: 'postgres',
  postgres_terminate: 'postgres',
  redis_restart: 'redis',
  redis_tail_lost: 'redis',
  redis_flush: 'redis',
  redis_stop: 'redis',
  redis_pause: 'redis',
  reset_connections: 'network',
  slow_connections: 'network',
  cut_off_worker: 'network',
};

/** Resolves, once all are over, to when they really were. */
export async function injectAll(station: Station, faults: readonly Fault[], from: number): Promise<Disturbance[]> {
  const done: Disturbance[] = [];
  const last = new Map<string, Promise<void>>();
  for (const fault of faults) {
    const before = last.get(PART_OF[fault.kind]) ?? Promise.resolve();
    const own = before.then(async () => {
      await sleep(Math.max(0, from + fault.atMs - performance.now()));
      const begun = Date.now();
      await inject(station, fault);
      const repeatsWork = canRepeatWork(fault, station.backend);
      done.push({ what: fault.kind, from: begun, to: Date.now(), repeatsWork, holdsWork: canHoldWork(fault) });
    });
    last.set(PART_OF[fault.kind], own);
  }
  await Promise.all(last.values());
  return done;
}

export async function inject(station: Station, { kind, lengthMs, worker }: Fault): Promise<void> {
  const { workers, api, postgres, redis } = station;
  const one = workers[worker];
  if (one === undefined) throw new Error(`there is no worker ${worker}`);
  switch (kind) {
    case 'kill_worker':
      return (await one.process.child()).signal('SIGKILL');
    case 'kill_workers':
      for (const { process } of workers) (await process.child()).signal('SIGKILL');
      return;
    case 'kill_api':
      return (await api.process.child()).signal('SIGKILL');
    case 'stop_api':
    case 'stop_worker': {
      const child = await (kind === 'stop_api' ? api : one).process.child();
      child.signal('SIGSTOP');
      await sleep(lengthMs);
      return child.signal('SIGCONT');
    }
    case 'roll_workers':
      for (const { process } of workers) {
        const child = await process.child();
        // As supervisors do it: who does not end in time is killed.
        const late = setTimeout(() => child.signal('SIGKILL'), ROLL_PATIENCE_MS);
        await child.end('SIGTERM');
        clearTimeout(late);
        await process.next(child);
      }
      return;
    case 'postgres_restart':
    case 'postgres_away':
      return postgres.crash(() => sleep(lengthMs));
    case 'postgres_terminate':
      return terminateConnections(station, lengthMs);
    case 'reset_connections':
      for (const proxy of station.proxies()) proxy.reset();
      return;
    case 'slow_connections':
      for (const proxy of station.proxies()) proxy.delay(SLOW_MS);
      await sleep(lengthMs);
      for (const proxy of station.proxies()) proxy.delay(0);
      return;
    case 'cut_off_worker':
      for (const proxy of one.proxies) proxy.freeze();
      await sleep(lengthMs);
      for (const proxy of one.proxies) proxy.thaw();
      return;
    case 'duplicate_delivery':
      return loseLocks(station);
    case 'redis_restart':
      return redis?.crash(() => sleep(lengthMs));
    case 'redis_tail_lost':
      return redis?.crash(async () => {
        await redis.loseTail(TAIL_LOST);
        await sleep(lengthMs);
      });
    case 'redis_flush':
      return void (await station.redisClient?.flushall());
    case 'redis_stop':
      redis?.signal('SIGSTOP');
      await sleep(lengthMs);
      return redis?.signal('SIGCONT');
    case 'redis_pause':
      await station.redisClient?.client('PAUSE', lengthMs, 'ALL');
      return sleep(lengthMs);
    default:
      return unreachable(kind);
  }
}

/** Half of what is connected, again and again: a commit may have been made of which nobody hears. */
async function terminateConnections({ db }: Station, lengthMs: number): Promise<void> {
  const until = performance.now() + lengthMs;
  do {
    await db
      .query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'orchestrator%' AND random() < 0.5`,
      )
      .catch(() => undefined);
    await sleep(TERMINATE_EVERY_MS);
  } while (performance.now() < until);
}

/** Every job that is being worked on loses its lock, so that it is given out a second time. */
async function loseLocks({ db, redisClient, queuePrefix }: Station): Promise<void> {
  if (redisClient === undefined) {
    await db
      .query(`UPDATE bullmq.job SET lock_token = NULL, locked_until_ms = 0 WHERE state = 'active'`)
      .catch(() => undefined);
    return;
  }
  const locks = (await keysOf(redisClient, queuePrefix)).filter((key) => key.endsWith(':lock'));
  if (locks.length > 0) await redisClient.del(...locks);
}
