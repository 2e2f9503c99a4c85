/** `npm run doctor`, put together: its own connections, closed at the end, and nothing that goes on in the background. */
import { statfs } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Config } from '../config/config.ts';
import { type Finding, ok, problem, unknown, warning } from '../doctor/finding.ts';
import { checkForwarding } from '../doctor/forwarding.ts';
import { readLiveRuns } from '../doctor/live-runs.ts';
import { checkQueue } from '../doctor/queue.ts';
import { checkNode, checkPostgres, checkRedis, checkSchema, findUnreachable } from '../doctor/servers.ts';
import { checkTables } from '../doctor/tables.ts';
import { checkWorkers } from '../doctor/workers.ts';
import { FINALIZER_QUEUE } from '../domain/graph/compile.ts';
import { problemsOfFaults } from '../domain/health/fault-problems.ts';
import { groupFaults, plainWords, remedyOf } from '../domain/health/system-faults.ts';
import { createPlans } from '../engine/accept/plans.ts';
import { promoteWoken } from '../engine/deliver/wake-tasks.ts';
import type { Logger } from '../engine/ports/logger.ts';
import { addAgain } from '../engine/recover/add-again.ts';
import { endOverdue } from '../engine/recover/end-overdue.ts';
import { createFlowQueue } from '../queue/flow-queue.ts';
import { openBackend } from '../queue/open-backend.ts';
import { shardPrefixes } from '../queue/shard-names.ts';
import { openDatabase } from '../store/core/database.ts';
import { findGap } from '../store/core/row-level-security.ts';
import { faultErrorOf } from '../store/core/sqlstate.ts';
import { faultsOfWorkers } from '../store/health/engine-health.ts';
import { createReconcileStore } from '../store/recover/reconcile-store.ts';
import { createChildStore } from '../store/runs/child-runs.ts';
import { createDefinitions } from '../store/runs/definitions.ts';
import { createRunStore } from '../store/runs/run-store.ts';
import { createTaskStore } from '../store/tasks/task-store.ts';
import { probeWritePath } from '../store/tasks/write-path.ts';
import { VERSION } from '../version.ts';
import { TURNED_OFF } from './api/row-level-security.ts';
import { createFailpoint } from './failpoints.ts';
import { FEATURES, shippedCatalogue } from './features.ts';
import { payloadsOf } from './payloads.ts';

export interface Examination {
  config: Config;
  databaseUrl: string;
  repair: boolean;
  /** How many days back history is read. */
  days: number;
  /** Between two looks at what may only be on its way. */
  confirmMs?: number;
  /** Where the migrations are. */
  migrations?: string;
}

const CONFIRM_MS = 3_000;
const CONNECTIONS = 4;
const FREE_SHARE = 0.1;
const SILENT: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** In the order in which they are to be read. What cannot be checked is a finding too. */
export async function examine(examination: Examination): Promise<Finding[]> {
  const { config, databaseUrl } = examination;
  const findings: Finding[] = [checkNode(), await diskOf(config)];
  const database = openDatabase(databaseUrl, {
    name: 'orchestrator-doctor',
    payloads: payloadsOf(config),
    max: CONNECTIONS,
    onError: () => undefined,
  });
  const { pool } = database;
  try {
    const away = await findUnreachable(pool);
    if (away !== undefined) findings.push(away);
    const reachable = away === undefined;
    const asked = async (check: string, checks: AsyncIterable<Finding>) => {
      try {
        for await (const finding of checks) findings.push(finding);
      } catch (error) {
        findings.push(unknown(check, error));
      }
    };
    if (reachable) {
      await asked('postgres', checkPostgres(pool, config));
      await asked('schema', checkSchema(pool, examination.migrations));
    }
    if (config.redis !== undefined)
      await asked('redis', checkRedis(config.redis, shardPrefixes(config.queuePrefix, config.redisShards)));
    if (!reachable || findings.some(({ check, status }) => check === 'migrations' && status === 'problem'))
      return findings;
    const lanes = shippedCatalogue().names();
    await asked('write_path', writePath(pool));
    await asked('faults', workerFaults(pool));
    await asked('row_level_security', tenantIsolation(pool, config));
    await asked('forwarded_for', forwarding(pool));
    await asked('workers', checkWorkers(pool, lanes, VERSION));
    for (const { doctor } of FEATURES) {
      const own = await doctor?.();
      if (own !== undefined) await asked(own.name, own.check(pool, config));
    }
    await asked('invariants', invariants(examination, pool, lanes));
    return findings;
  } finally {
    await database.close();
  }
}

/** With the rights of whoever runs the doctor, which should be those of the service. */
async function* writePath(pool: pg.Pool): AsyncGenerator<Finding> {
  const name = 'write_path';
  try {
    await probeWritePath(pool);
    yield ok(name, 'tasks can be accepted, claimed and committed');
  } catch (error) {
    const { class: of, message } = faultErrorOf(error);
    yield problem(name, `tasks cannot be committed (${of}, ${plainWords(of)}): ${message}`, remedyOf(of));
  }
}

async function* workerFaults(pool: pg.Pool): AsyncGenerator<Finding> {
  const name = 'faults';
  const reported = (await faultsOfWorkers(pool)).flatMap(({ id, faults }) =>
    faults.map((fault) => ({ ...fault, reporter: id })),
  );
  const problems = problemsOfFaults(groupFaults(reported));
  if (problems.length === 0) yield ok(name, 'no worker says that something fails in it again and again');
  for (const { code, message, todo } of problems) yield problem(name, `${code}: ${message}`, todo);
}

async function* tenantIsolation(pool: pg.Pool, { rowLevelSecurity }: Config): AsyncGenerator<Finding> {
  const gap = rowLevelSecurity === 'off' ? TURNED_OFF : await findGap(pool);
  const name = 'row_level_security';
  if (gap === undefined) yield ok(name, 'the policies of the database keep tenants apart');
  else
    yield warning(
      name,
      gap,
      'docs/security.md says how the second wall is raised. Queries are bound to the tenant without it too.',
    );
}

async function* forwarding(pool: pg.Pool): AsyncGenerator<Finding> {
  yield await checkForwarding(pool);
}

async function* invariants(
  { config, databaseUrl, repair, days, confirmMs = CONFIRM_MS }: Examination,
  pool: pg.Pool,
  lanes: readonly string[],
): AsyncGenerator<Finding> {
  const backend = openBackend({
    ...{ redis: config.redis, databaseUrl, prefix: config.queuePrefix, shards: config.redisShards },
    ...{ offlineCommands: 'fail', name: 'orchestrator-doctor', log: SILENT },
  });
  const queue = createFlowQueue({ backend, timeoutMs: 5_000 });
  const plans = createPlans(createDefinitions(pool));
  const store = createRunStore(pool);
  const reconcile = createReconcileStore(pool);
  const children = createChildStore(pool);
  const tasks = createTaskStore(pool);
  const again = { plans, runs: store, reconcile, queue, failpoint: createFailpoint([]), now: Date.now };
  const runs = {
    ...{ statuses: store.statuses, ended: store.ended },
    live: (limit: number) => readLiveRuns(pool, limit),
  };
  try {
    const tables = await checkTables(pool, days);
    for (const finding of tables) {
      const mended = repair && finding.repairable === true ? await mend(finding) : undefined;
      yield mended === undefined ? finding : { ...finding, repaired: mended };
    }
    if (!(await waitForQueue())) {
      yield unknown('queue', new Error('the queue does not answer'));
      return;
    }
    const [first] = queue.queues([FINALIZER_QUEUE]);
    if (first === undefined) throw new Error('no queue');
    yield* await checkQueue(
      {
        plans,
        queue,
        runs,
        queues: [...lanes, FINALIZER_QUEUE],
        async openJobs(name, limit) {
          const ofShards = queue
            .queues([name])
            .map((lane) =>
              lane.getRanges(['waiting', 'prioritized', 'delayed', 'waiting-children'], 0, limit - 1, true),
            );
          return (await Promise.all(ofShards)).flat();
        },
        async removeJob(name, jobId) {
          // It may be in another shard than the one that its run lives in now.
          const removed = await Promise.all(queue.queues([name]).map((lane) => lane.remove(jobId)));
          if (!removed.every((count) => count === 1)) throw new Error('it is in somebody’s hands');
        },
        addAgain: async (run) => (await reconcile.exclusively(() => addAgain(again, run))) === true,
        pause: () => sleep(confirmMs),
      },
      repair,
    );
  } finally {
    await queue.close();
    await backend.close();
  }

  async function waitForQueue(): Promise<boolean> {
    for (let tries = 0; tries < 20; tries += 1) {
      if (await queue.ping()) return true;
      await sleep(100);
    }
    return false;
  }

  /** By the engine's own ways, and under its lock; how many. Undefined: somebody else is at it. */
  async function mend({ check, total = 0, ids = [] }: Finding): Promise<number | undefined> {
    return reconcile.exclusively(async () => {
      switch (check) {
        case 'places_are_given':
          return Math.min(total, await reconcile.giveSlots());
        case 'deadlines_are_kept':
          await endOverdue({ ...again, runs: store, children, tasks, log: SILENT });
          return total;
        case 'sleepers_are_woken': {
          const owners = [...new Set(ids.map((id) => id.slice(0, id.indexOf('/'))))];
          for (const id of owners) {
            const found = await store.statuses(id);
            if (found.run === undefined) continue;
            await promoteWoken({ queue }, found.run, await plans.of(found.run.of), found);
            await store.checkNow(id);
          }
          return ids.length;
        }
        default:
          return 0;
      }
    });
  }
}

/** Of the folder of the local start; where a database elsewhere keeps its files nobody here knows. */
async function diskOf({ dataDir, databaseUrl }: Config): Promise<Finding> {
  if (databaseUrl !== undefined) return ok('disk', 'the database is elsewhere: look at the disk of its machine');
  const { bavail, blocks, bsize } = await statfs(dataDir);
  const text = `${Math.round((bavail * bsize) / 1_073_741_824)} GB free at ${dataDir}`;
  return bavail / blocks > FREE_SHARE
    ? ok('disk', text)
    : warning('disk', text, 'Make room: without it nothing is accepted.');
}
