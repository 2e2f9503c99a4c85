/** Starts what the tests with servers share, once per run for all projects, and stops it at the end however the tests went. */
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import type { PostgresServer } from '../../src/launch/postgres-server.ts';
import { migrateQueue } from '../../src/queue/migrate-queue.ts';
import { migrate } from '../../src/store/migrations/migrate.ts';
import { SUPPORTED_MAJORS, startPostgresOf } from './postgres-versions.ts';
import { sharedRedis } from './shared-redis.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** May create databases. */
    postgresUrl: string;
    redisUrl: string;
  }
}

const TEMPLATE = 'template_migrated';

interface Servers {
  urls: { postgresUrl: string; redisUrl: string };
  stop(): Promise<void>;
}

/** Each project loads this module anew, in one process: what it has started is found by this name. */
const SHARED = Symbol.for('orchestrator.test-servers');
const places = globalThis as unknown as Record<symbol, { servers: Promise<Servers>; users: number } | undefined>; // Symbols have no types there.

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const shared = places[SHARED] ?? { servers: startServers(), users: 0 };
  places[SHARED] = shared;
  shared.users += 1;
  const { urls, stop } = await shared.servers;
  project.provide('redisUrl', urls.redisUrl);
  project.provide('postgresUrl', urls.postgresUrl);
  return async () => {
    shared.users -= 1;
    if (shared.users > 0) return;
    places[SHARED] = undefined;
    await stop();
  };
}

async function startServers(): Promise<Servers> {
  const stops: Array<() => Promise<void>> = [];
  const stop = async () => {
    const results = await Promise.allSettled(stops.map((stopOne) => stopOne()));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  };
  try {
    const redis = sharedRedis().then((server) => {
      stops.push(() => server.stop());
      return server;
    });
    const postgres = testPostgres().then(async (server) => {
      stops.push(() => server.stop());
      await makeTemplate(server.url);
      return server;
    });
    // Both are awaited before either may fail the set-up, so that none is left running.
    const [redisResult, postgresResult] = await Promise.allSettled([redis, postgres]);
    if (redisResult.status === 'rejected') throw redisResult.reason;
    if (postgresResult.status === 'rejected') throw postgresResult.reason;
    return { urls: { postgresUrl: postgresResult.value.url, redisUrl: redisResult.value.url }, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Of the packaged major, or of the one that TEST_POSTGRES_MAJOR names. */
function testPostgres(): Promise<PostgresServer> {
  const asked = process.env['TEST_POSTGRES_MAJOR'] ?? '';
  const major = SUPPORTED_MAJORS.find((each) => String(each) === (asked || '18'));
  if (major === undefined)
    throw new Error(`TEST_POSTGRES_MAJOR is ${asked}: it is one of ${SUPPORTED_MAJORS.join(', ')}.`);
  return startPostgresOf(major);
}

async function makeTemplate(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(`CREATE DATABASE ${TEMPLATE}`);
  await makePasswordQuick(client);
  await client.end();
  const template = new URL(url);
  template.pathname = `/${TEMPLATE}`;
  await migrate(template.href);
  await migrateQueue(template.href);
}

/** To try a password takes thousands of rounds, which guards it where somebody may guess; here connections are made by the thousand. */
async function makePasswordQuick(client: pg.Client): Promise<void> {
  const { rowCount } = await client.query(`SELECT FROM pg_settings WHERE name = 'scram_iterations'`);
  if (rowCount === 0) return; // Before 16 the number is fixed.
  await client.query('SET scram_iterations = 1');
  await client.query(`ALTER ROLE CURRENT_USER PASSWORD ${client.escapeLiteral(client.password ?? '')}`);
}
