/** The stores themselves: whether they answer, how they are set up, and what is in them as it should be. */
import { readdir } from 'node:fs/promises';
import type pg from 'pg';
import type { Config } from '../config/config.ts';
import { SKEW_MS } from '../domain/health/liveness.ts';
import { todoOfNotWritable, whyNotWritable } from '../domain/health/queue-not-writable.ts';
import { errorMessage } from '../domain/texts/error-message.ts';
import { connectRedis, infoOf, onErrors, type RedisClient } from '../queue/redis-connection.ts';
import type { RedisServers } from '../schemas/redis-servers.ts';
import { judgeServerVersion, UnsupportedServer, type VersionVerdict } from '../store/core/server-version.ts';
import { MIGRATIONS_FOLDER } from '../store/migrations/migrate.ts';
import { type Finding, ok, problem, unknown, warning } from './finding.ts';

const OLDEST_REDIS = 6.2;
const WEEK_MS = 7 * 24 * 3600 * 1000;

export function checkNode(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return ok('node', `Node ${process.versions.node}`);
  return problem('node', `Node ${process.versions.node} is too old`, 'Install Node 20.19 or newer.');
}

/** The problem that prevents further checks of PostgreSQL; undefined: it answers. */
export async function findUnreachable(pool: pg.Pool): Promise<Finding | undefined> {
  try {
    await pool.query('SELECT 1');
    return undefined;
  } catch (error) {
    if (error instanceof UnsupportedServer) return versionFinding({ supported: false, sentence: error.message });
    return problem(
      'postgres',
      `PostgreSQL does not answer: ${errorMessage(error)}`,
      'Bring it back, or see whether DATABASE_URL is right.',
    );
  }
}

export async function* checkPostgres(pool: pg.Pool, config: Config): AsyncGenerator<Finding> {
  const startedAt = performance.now();
  await pool.query('SELECT 1');
  const latency = performance.now() - startedAt;
  const { rows } = await pool.query<
    Record<'fsync' | 'full_page_writes' | 'synchronous_commit' | 'version' | 'max' | 'used', string>
  >(
    `SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
            current_setting('synchronous_commit') AS synchronous_commit, current_setting('server_version_num', true) AS version,
            current_setting('max_connections') AS max, (SELECT count(*)::text FROM pg_stat_activity WHERE datname IS NOT NULL) AS used`,
  );
  const set = rows[0];
  if (set === undefined) throw new Error('PostgreSQL did not say how it is set up');
  yield ok('postgres', `PostgreSQL answers in ${latency.toFixed(1)} ms`);
  yield versionFinding(judgeServerVersion(set.version));
  for (const name of ['fsync', 'full_page_writes', 'synchronous_commit'] as const) {
    yield set[name] !== 'off'
      ? ok(`postgres_${name}`, `${name} is ${set[name]}`)
      : problem(
          `postgres_${name}`,
          `${name} is ${set[name]}: what was confirmed may be lost in a crash`,
          `Set ${name} = on in postgresql.conf.`,
        );
  }
  const free = Number(set.max) - Number(set.used);
  yield free > Math.max(5, config.databasePoolSize)
    ? ok('postgres_connections', `${set.used} of ${set.max} connections are used`)
    : warning(
        'postgres_connections',
        `${set.used} of ${set.max} connections are used: the next process (DATABASE_POOL_SIZE ${config.databasePoolSize}) may find none`,
        'Raise max_connections, or lower DATABASE_POOL_SIZE.',
      );
  yield await clockOf('database', async () => {
    const answer = await pool.query<{ now: number }>(
      'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now',
    );
    return answer.rows[0]?.now ?? 0;
  });
}

/** The message is the one with which every process fails to start. */
function versionFinding(verdict: VersionVerdict): Finding {
  if (!verdict.supported)
    return problem(
      'postgres_version',
      verdict.sentence,
      'Nothing starts on it: upgrade it, or set DATABASE_URL to another.',
    );
  if (verdict.warning === undefined) return ok('postgres_version', verdict.version);
  return warning(
    'postgres_version',
    verdict.warning,
    'Run `npm test` against it, or wait for a version that names it.',
  );
}

export async function* checkSchema(pool: pg.Pool, folder = MIGRATIONS_FOLDER): AsyncGenerator<Finding> {
  const entries = await readdir(folder, { withFileTypes: true });
  const shipped = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const { rows: there } = await pool.query<{ found: boolean }>(
    `SELECT to_regclass('_prisma_migrations') IS NOT NULL AS found`,
  );
  const { rows } =
    there[0]?.found === true
      ? await pool.query<{ name: string }>(
          'SELECT migration_name AS name FROM _prisma_migrations WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL',
        )
      : { rows: [] };
  const applied = new Set(rows.map(({ name }) => name));
  const pending = shipped.filter((name) => !applied.has(name)).sort();
  const newer = [...applied].filter((name) => !shipped.includes(name)).sort();
  if (pending.length > 0) {
    yield {
      ...problem('migrations', `${pending.length} migrations are not applied`, 'npm run migrate'),
      ids: pending.slice(0, 20),
      total: pending.length,
    };
  } else yield ok('migrations', `all ${shipped.length} migrations are applied`);
  if (newer.length > 0) {
    yield {
      ...warning(
        'schema_is_newer',
        `the database has ${newer.length} migrations that this program does not know`,
        'Fine during an upgrade, or after going back one release; otherwise install the newer program.',
      ),
      ids: newer.slice(0, 20),
      total: newer.length,
    };
  }
  const { rows: bounds } = await pool.query<{ table: string; until: string | null }>(
    `SELECT i.inhparent::regclass::text AS table, max(substring(c.relname FROM '_([0-9]{8})$')) AS until
     FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent IN (to_regclass('event'), to_regclass('attempt')) GROUP BY 1`,
  );
  const next = new Date(Math.floor(Date.now() / WEEK_MS) * WEEK_MS + WEEK_MS)
    .toISOString()
    .slice(0, 10)
    .replaceAll('-', '');
  const late = bounds.filter(({ until }) => until === null || until < next).map(({ table }) => table);
  yield late.length === 0
    ? ok('partitions', 'the tables of history have partitions for the coming week')
    : warning(
        'partitions',
        `no partition for the coming week: ${late.join(', ')}`,
        'A worker makes them within the hour. Until then rows go to the default partition, and nothing is lost.',
      );
}

/** Of a Cluster: the servers that have the keys of the prefixes. */
export async function* checkRedis(servers: RedisServers, prefixes: readonly string[]): AsyncGenerator<Finding> {
  const redis = connectRedis(servers, {
    connectionName: 'orchestrator-doctor',
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    connectTimeout: 3_000,
    commandTimeout: 3_000,
    lazyConnect: true,
  });
  let last: Error | undefined;
  onErrors(redis, (error) => {
    last = error;
  });
  try {
    await redis.connect();
    const owners = await serversOf(redis, prefixes);
    for (const shards of owners) {
      for await (const finding of checkServer(redis, servers, `${shards[0]}:orchestrator:probe`))
        yield owners.length === 1 ? finding : { ...finding, message: `${shards.join(', ')}: ${finding.message}` };
    }
    if (servers.kind === 'cluster') yield await clusterState(redis);
    if (prefixes.length > 1) {
      const masters = owners.length === 1 ? 'one server' : `${owners.length} servers`;
      yield ok('redis_shards', `the ${prefixes.length} shards of the queue are on ${masters}`);
    }
    yield await clockOf('redis', async () => {
      const [seconds = 0, micros = 0] = (await redis.time()).map(Number);
      return seconds * 1000 + micros / 1000;
    });
  } catch (error) {
    yield {
      ...unknown('redis', error),
      status: 'problem',
      message: `Redis does not answer: ${errorMessage(servers.kind === 'one' ? error : (last ?? error))}`,
      whatToDo: `Bring it back, or see whether ${SETTING[servers.kind]} is right. Runs are accepted meanwhile.`,
    };
  } finally {
    redis.disconnect();
  }
}

/** The prefixes by the server that has them. */
async function serversOf(redis: RedisClient, prefixes: readonly string[]): Promise<string[][]> {
  const owners = new Map<string, string[]>();
  for (const prefix of prefixes) {
    const info = await infoOf(redis, 'server', `${prefix}:orchestrator:probe`);
    const runId = /^run_id:(\S+)/m.exec(info)?.[1] ?? '';
    owners.set(runId, [...(owners.get(runId) ?? []), prefix]);
  }
  return [...owners.values()];
}

/** The server that has the key. */
async function* checkServer(redis: RedisClient, { kind }: RedisServers, probe: string): AsyncGenerator<Finding> {
  const startedAt = performance.now();
  await redis.exists(probe);
  yield ok('redis', `Redis answers in ${(performance.now() - startedAt).toFixed(1)} ms`);
  yield await redis.del(probe).then(
    () => ok('redis_writes', 'Redis takes writes'),
    (error: Error) => {
      const word = error.message.split(' ', 1)[0] ?? '';
      return problem('redis_writes', whyNotWritable(word), todoOfNotWritable(word));
    },
  );
  const info = await infoOf(redis, 'default', probe);
  const field = (name: string) => new RegExp(`^${name}:(\\S+)`, 'm').exec(info)?.[1] ?? '';
  const version = field('redis_version');
  yield Number.parseFloat(version) >= OLDEST_REDIS
    ? ok('redis_version', `Redis ${version}`)
    : problem('redis_version', `Redis ${version} is too old`, 'Use Redis 6.2 or newer.');
  yield field('maxmemory_policy') === 'noeviction'
    ? ok('redis_eviction', 'maxmemory-policy is noeviction')
    : problem(
        'redis_eviction',
        `maxmemory-policy is ${field('maxmemory_policy')}: Redis may throw jobs away`,
        'CONFIG SET maxmemory-policy noeviction',
      );
  yield field('aof_enabled') === '1'
    ? ok('redis_persistence', 'appendonly is yes')
    : warning(
        'redis_persistence',
        'appendonly is no: after a restart all queued work is rebuilt from PostgreSQL',
        'CONFIG SET appendonly yes',
      );
  if (kind !== 'one') yield replicasOf(Number(field('connected_slaves')));
  const limit = Number(field('maxmemory'));
  const use = Number(field('used_memory'));
  const share = limit === 0 ? 0 : use / limit;
  const text = `${Math.round(use / 1_048_576)} MB used${limit === 0 ? ', without a limit' : ` of ${Math.round(limit / 1_048_576)} MB`}`;
  yield share < 0.9
    ? ok('redis_memory', text)
    : problem('redis_memory', `${text}: nothing is added to the queue`, 'Raise maxmemory.');
}

const SETTING = { one: 'REDIS_URL', sentinels: 'REDIS_SENTINELS', cluster: 'REDIS_CLUSTER' };

function replicasOf(replicas: number): Finding {
  return replicas > 0
    ? ok('redis_replicas', `${replicas} replica${replicas === 1 ? '' : 's'} can take over`)
    : warning(
        'redis_replicas',
        'no replica is connected: nothing can take over when this server is lost',
        'Start a replica of it. What is lost with it is rebuilt from PostgreSQL once there is a server again.',
      );
}

async function clusterState(redis: RedisClient): Promise<Finding> {
  const state = /cluster_state:(\w+)/.exec(String(await redis.cluster('INFO')))?.[1] ?? 'unknown';
  return state === 'ok'
    ? ok('redis_cluster', 'all slots of the Cluster are served')
    : problem('redis_cluster', `the Cluster says that its state is ${state}`, 'See CLUSTER INFO and CLUSTER NODES.');
}

async function clockOf(name: string, readClock: () => Promise<number>): Promise<Finding> {
  const before = Date.now();
  const there = await readClock();
  const skew = Math.round(there - (before + Date.now()) / 2);
  return Math.abs(skew) <= SKEW_MS
    ? ok(`clock_${name}`, `the clock of the ${name} is ${Math.abs(skew)} ms from this one`)
    : warning(
        `clock_${name}`,
        `the clock of the ${name} is ${Math.abs(skew)} ms ${skew > 0 ? 'ahead of' : 'behind'} this one`,
        'Let NTP set both machines.',
      );
}
