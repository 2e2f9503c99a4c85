/** One seed: a stack of its own, runs of every kind, faults, and then the check of everything that was promised. */
import { setTimeout as sleep } from 'node:timers/promises';
import { findViolations } from '../../harness/checker/evidence.ts';
import { createFinalWatch } from '../../harness/checker/final-watch.ts';
import type { Violation } from '../../harness/checker/rules.ts';
import { waitForRest } from '../../harness/checker/stuck-runs.ts';
import { openClient } from '../../harness/client/client.ts';
import { injectAll } from '../../harness/faults/inject.ts';
import { scheduleOf } from '../../harness/faults/schedule.ts';
import { openStation } from '../../harness/faults/station.ts';
import type { BackendKind } from '../../harness/servers/backends.ts';
import { until } from '../../harness/until.ts';
import { createWorkflows, startClients } from './clients.ts';
import { loadOf } from './load.ts';

export interface ScenarioReport {
  violations: Violation[];
  /** Answers that no client should ever get. */
  surprises: string[];
  /** Seconds that each part took. */
  seconds: { start: number; faults: number; rest: number };
  counts: { runs: number; tasks: number; calls: number; repeated: number; faults: number };
  /** The last lines of all logs. */
  log: string;
}

/** The slowest nets of the engine: orphaned gates are looked for every 30 s, a cancelled run is waited for as long. */
const QUIET_MS = 50_000;
const REST_MS = 150_000;
const WATCH_EVERY_MS = 500;
const GIVE_UP_MS = 60_000;

export async function runScenario(seed: number, backend: BackendKind, loadMs: number): Promise<ScenarioReport> {
  const schedule = scheduleOf(seed, backend, loadMs);
  const load = loadOf(seed, loadMs);
  const begun = performance.now();
  const station = await openStation({ backend, workers: schedule.workers });
  let ended = false;
  let closeOutside = async () => {};
  try {
    const { db, service, redisClient: redis, queuePrefix } = station;
    const watch = createFinalWatch(db);
    const workflowIds = await createWorkflows(station.apiUrl, load, service.url);
    const from = performance.now();
    const options = {
      apiUrl: station.apiUrl,
      load,
      workflowIds,
      serviceUrl: service.url,
      from,
      giveUpMs: GIVE_UP_MS,
      db,
    };
    const clients = startClients(options);
    closeOutside = () => clients.close();
    const watching = (async () => {
      while (!ended) {
        // PostgreSQL may be away; what was seen before is remembered.
        await watch.look().catch(() => undefined);
        await sleep(WATCH_EVERY_MS);
      }
    })();
    const disturbances = await injectAll(station, schedule.faults, from);
    await clients.done;
    await until(async () => (await openClient(station.apiUrl).get('/health')).status === 200, {
      what: 'the API is healthy again',
    });
    const quiet = performance.now();
    const onSlow = (left: string) => process.stdout.write(`still open, seed ${seed} on ${backend}: ${left}\n`);
    const { apiUrl } = station;
    const stuck = await waitForRest(
      { db, redis, queuePrefix, apiUrl },
      { quietMs: QUIET_MS, totalMs: REST_MS, onSlow },
    );
    const rested = performance.now();
    ended = true;
    await watching;
    await watch.look();
    const found = await findViolations(db, {
      calls: service.calls,
      disturbances: [...disturbances, ...station.stalls],
      promised: clients.promised,
    });
    const { rows } = await db.query<{ runs: number; tasks: number }>(
      'SELECT (SELECT count(*)::int FROM run) AS runs, (SELECT count(*)::int FROM task) AS tasks',
    );
    return {
      violations: [...stuck, ...watch.violations(), ...found],
      surprises: clients.surprises,
      seconds: { start: (from - begun) / 1_000, faults: (quiet - from) / 1_000, rest: (rested - quiet) / 1_000 },
      counts: {
        runs: rows[0]?.runs ?? 0,
        tasks: rows[0]?.tasks ?? 0,
        calls: service.calls.length,
        repeated: service.calls.length - new Set(service.calls.map(({ key }) => key)).size,
        faults: disturbances.length,
      },
      log: station.tail(),
    };
  } catch (error) {
    process.stderr.write(`${station.tail()}\n`);
    throw error;
  } finally {
    ended = true;
    await closeOutside();
    await station.close();
  }
}
