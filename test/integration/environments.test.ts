/** Databases and queues as people have them: other rights, other settings, other ways to get there. */
import { randomBytes } from 'node:crypto';
import { chownSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Redis } from 'ioredis';
import pg from 'pg';
import { describe, expect, inject, test } from 'vitest';
import { freePort } from '../../src/launch/postgres-server.ts';
import { migrateQueue } from '../../src/queue/migrate-queue.ts';
import { findGap, TENANT_ROLE } from '../../src/store/core/row-level-security.ts';
import { migrate } from '../../src/store/migrations/migrate.ts';
import { expectRest } from '../harness/checker/at-rest.ts';
import { accepted, type Client, openClient } from '../harness/client/client.ts';
import { type Child, startProcess } from '../harness/processes/process.ts';
import { BACKENDS, type BackendKind } from '../harness/servers/backends.ts';
import { startRedis } from '../harness/servers/redis-server.ts';
import { makeCertificate } from '../support/certificate.ts';
import { startPostgresOf } from '../support/postgres-versions.ts';
import type { TestDatabase } from '../support/servers.ts';
import { openStack, type Stack } from '../support/stack.ts';
import { echo, workflow } from '../support/test-task.ts';

interface Asked {
  /** How the database is created; `CREATE DATABASE name …`. */
  created?: (major: number) => string;
  /** Statements of the administrator, in that database, about it and the role of the service. */
  administered(name: string, role: string, major: number): string[];
}

/** A database that belongs to an administrator, migrated by a role of the service's own that may do nothing else. */
async function databaseOf({ created, administered }: Asked): Promise<TestDatabase & { role: string }> {
  const [name, role] = ['database', 'role'].map((what) => `env_${what}_${randomBytes(4).toString('hex')}`) as [
    string,
    string,
  ];
  const admin = new pg.Client({ connectionString: inject('postgresUrl') });
  await admin.connect();
  const { rows } = await admin.query<{ num: string }>(`SELECT current_setting('server_version_num') AS num`);
  const major = Math.floor(Number(rows[0]?.num) / 10_000);
  await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'secret' NOSUPERUSER NOCREATEROLE NOCREATEDB NOBYPASSRLS`);
  await admin.query(`CREATE DATABASE ${name} ${created?.(major) ?? ''}`);
  const url = new URL(inject('postgresUrl'));
  url.pathname = `/${name}`;
  const there = new pg.Client({ connectionString: url.href });
  await there.connect();
  for (const statement of administered(name, role, major)) await there.query(statement);
  await there.end();
  url.username = role;
  url.password = 'secret';
  return {
    ...{ name, role, url: url.href },
    async drop() {
      await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
      await admin.query(`DROP ROLE ${role}`);
      await admin.end();
    },
  };
}

/** As docs/migrations.md lists them. */
const GRANTS = (name: string, role: string, major: number, queueToo: boolean) => [
  `GRANT CONNECT${queueToo ? ', CREATE' : ''} ON DATABASE ${name} TO ${role}`,
  `GRANT USAGE, CREATE ON SCHEMA public TO ${role}`,
  'CREATE EXTENSION IF NOT EXISTS pg_trgm',
  `DO $$ BEGIN CREATE ROLE ${TENANT_ROLE} NOLOGIN NOINHERIT; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`,
  `GRANT ${TENANT_ROLE} TO ${role}${major >= 16 ? ' WITH INHERIT FALSE, SET TRUE' : ''}`,
];

/** Nothing that a German in Kiritimati could set is what our statements expect. */
const SETTINGS = {
  timezone: 'Pacific/Kiritimati',
  datestyle: 'German, DMY',
  intervalstyle: 'sql_standard',
  standard_conforming_strings: 'off',
  backslash_quote: 'on',
  bytea_output: 'escape',
  extra_float_digits: '-10',
  default_transaction_isolation: 'serializable',
};
const otherCollation = (major: number) =>
  major >= 15
    ? `TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'de-DE'`
    : `TEMPLATE template0 LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'`;

async function withStack(backend: BackendKind, asked: Asked, work: (stack: Stack) => Promise<void>): Promise<void> {
  const stack = await openStack(backend, {
    async database() {
      const made = await databaseOf(asked);
      // Twice, as with every start: what is there is left as it is.
      for (const applied of [await migrate(made.url), await migrate(made.url)].slice(1)) expect(applied).toEqual([]);
      if (backend === 'postgres') for (const _ of [1, 2]) await migrateQueue(made.url);
      return made;
    },
  });
  try {
    await work(stack);
    await expectRest(stack);
  } catch (error) {
    process.stderr.write(`${stack.log.tail()}\n`);
    throw error;
  } finally {
    await stack.stop();
  }
}

const ODD = `it's "Größe" \\n \\' \\\\ 100 % $1 -- /* ; ünïcödé`;

/** What clients do all day. */
async function use(api: Client): Promise<void> {
  const before = Date.now();
  const task = await api.ended(await api.assign({ task_type: 'test_task', params: { odd: ODD } }));
  expect(task).toMatchObject({ status: 'completed', result: { odd: ODD } });
  expect(Math.abs(Date.parse(task.timestamp) - before)).toBeLessThan(3_600_000);
  const names = ['Zebra', 'apfel', 'Ärger', `${ODD} 1`, `${ODD} 2`];
  for (const name of names) await api.createWorkflow({ ...workflow([echo('a', [], { odd: ODD })]), name, tags: [ODD] });
  const id = await api.createWorkflow({
    ...workflow([
      echo('a', [], { odd: ODD, list: [1, 2, 3] }),
      { action_id: 'b', action_type: 'wait', config: { seconds: 0.2 }, depends_on: ['a'] },
      echo('c', ['a'], { n: '{{item}}' }, { for_each: { items: '{{a.list}}' } }),
      echo('d', ['b', 'c'], {}, { delay_seconds: 0.2 }),
      echo('e', ['d'], { fail_with: ODD }, { retry: { max_attempts: 2, initial_delay_seconds: 0.05 } }),
    ]),
    description: ODD,
  });
  const run = await api.finished(await api.execute(id));
  expect(run).toMatchObject({ status: 'failed', error: { message: expect.stringContaining(ODD) } });
  expect(Math.abs(Date.parse(run.created_at) - before)).toBeLessThan(3_600_000);
  const from = new Date(before - 60_000).toISOString();
  expect(await idsOf(api, `/executions?limit=1&from=${from}`, 'execution_id')).toHaveLength(2);
  expect(await idsOf(api, `/executions?to=${from}`, 'execution_id')).toEqual([]);
  expect(await idsOf(api, '/workflows?limit=2', 'workflow_id')).toHaveLength(names.length + 1);
  expect(await idsOf(api, '/infrastructure/dlq', 'action_id')).toEqual(['e']);
  expect((await api.get('/workflows/search?q=Zebr')).body).toMatchObject({ total: 1 });
  const schedule = { name: ODD, workflow_id: id, cron: '30 4 * * *', timezone: 'Europe/Berlin' };
  const made = accepted(await api.post('/schedules', schedule), 201).body as {
    schedule_id: string;
    next_runs: string[];
  }; // As the document has it.
  expect(made.next_runs.map((at) => new Date(at).getUTCHours())).toEqual(
    made.next_runs.map(() => expect.toBeOneOf([2, 3])),
  );
  expect(Date.parse(made.next_runs[0] ?? '') - Date.now()).toBeLessThan(25 * 3_600_000);
  accepted(await api.send('DELETE', `/schedules/${made.schedule_id}`), 204);
  expect((await api.get('/ready')).status).toBe(200);
}

/** All pages. */
async function idsOf(api: Client, list: string, key: string): Promise<unknown[]> {
  const found: unknown[] = [];
  for (let cursor = ''; ; ) {
    const page = accepted(await api.get(`${list}${cursor}`), 200).body as {
      items: Array<Record<string, unknown>>;
      next_cursor?: string | null;
    };
    found.push(...page.items.map((item) => item[key]));
    if (typeof page.next_cursor !== 'string') return found;
    cursor = `${list.includes('?') ? '&' : '?'}cursor=${encodeURIComponent(page.next_cursor)}`;
  }
}

describe.each(BACKENDS.map((backend) => ({ backend })))('the queue on $backend', ({ backend }) => {
  test('a role with the documented grants alone serves a database of somebody else, behind row-level security', async () => {
    const administered: Asked['administered'] = (name, role, major) =>
      GRANTS(name, role, major, backend === 'postgres');
    await withStack(backend, { administered }, async ({ api, db }) => {
      const { rows } = await db.query(
        'SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user',
      );
      expect(rows).toEqual([{ rolsuper: false, rolcreaterole: false, rolcreatedb: false }]);
      expect(await findGap(db)).toBeUndefined();
      await use(api);
    });
  });

  test('tables are in the schema that the search path begins with, whatever its name', async () => {
    const administered: Asked['administered'] = (name, role, major) => [
      ...GRANTS(name, role, major, true),
      `REVOKE CREATE ON SCHEMA public FROM ${role}`,
      `CREATE SCHEMA "of the Service" AUTHORIZATION ${role}`,
      `ALTER ROLE ${role} SET search_path = "of the Service", public`,
    ];
    await withStack(backend, { administered }, async ({ api, db }) => {
      await use(api);
      const { rows } = await db.query(
        `SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname <> 'bullmq' AND tablename IN ('run', 'workflow', 'event', '_prisma_migrations')`,
      );
      expect(rows).toEqual([{ schemaname: 'of the Service' }]);
      expect(await findGap(db)).toBeUndefined();
    });
  });

  test('a server with another time zone, collation, date style, strings and isolation changes nothing', async () => {
    const administered: Asked['administered'] = (name, role, major) => [
      ...GRANTS(name, role, major, true),
      ...Object.entries(SETTINGS).map(([setting, value]) => `ALTER DATABASE ${name} SET ${setting} = '${value}'`),
    ];
    await withStack(backend, { created: otherCollation, administered }, async ({ api, db }) => {
      const { rows } = await db.query('SHOW timezone');
      expect(rows).toEqual([{ TimeZone: SETTINGS.timezone }]);
      await use(api);
    });
  });
});

test('both stores are reached over TLS, and Redis with a password and in a database with a number', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'test-tls-'));
  const { cert, key, certPath, keyPath } = makeCertificate(folder);
  const [postgres, tlsPort, port] = [await startPostgresOf(18), await freePort(), await freePort()];
  const tls = [
    '--tls-port',
    String(tlsPort),
    '--tls-cert-file',
    certPath,
    '--tls-key-file',
    keyPath,
    '--tls-auth-clients',
    'no',
  ];
  const redis = await startRedis({ password: 'pass-word', settings: tls });
  const children: Child[] = [];
  try {
    await serveOverTls(postgres, cert, key);
    await migrate(postgres.url);
    const database = new URL(postgres.url);
    database.search = `?sslmode=verify-full&sslrootcert=${encodeURIComponent(certPath)}`;
    const settings = {
      ...{ NODE_ENV: 'test', LOG_FILE: 'none', PORT: String(port), WORKER_PORT: '0', NODE_EXTRA_CA_CERTS: certPath },
      ...{ DATABASE_URL: database.href, REDIS_URL: `rediss://:pass-word@127.0.0.1:${tlsPort}/5` },
    };
    for (const kind of ['api', 'worker'] as const) children.push(await startProcess({ kind, cwd: folder, settings }));
    await use(openClient(`http://127.0.0.1:${port}`));
    const client = new pg.Client({ connectionString: postgres.url });
    await client.connect();
    const { rows } = await client.query(
      `SELECT DISTINCT s.ssl FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) WHERE a.application_name LIKE 'orchestrator%'`,
    );
    await client.end();
    expect(rows).toEqual([{ ssl: true }]);
    const look = new Redis(redis.url);
    const keyspace = await look.info('keyspace');
    look.disconnect();
    expect(keyspace.match(/^db\d+/gm)).toEqual(['db5']);
  } finally {
    for (const child of children) expect(await child.end('SIGTERM')).toBe(0);
    await redis.stop();
    await postgres.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});

/** Its key has to belong to the user that it runs as. */
async function serveOverTls(
  { url, directory }: { url: string; directory: string },
  cert: string,
  key: string,
): Promise<void> {
  const { uid, gid } = statSync(directory);
  for (const [name, text] of [
    ['server.crt', cert],
    ['server.key', key],
  ] as const) {
    writeFileSync(path.join(directory, name), text, { mode: 0o600 });
    chownSync(path.join(directory, name), uid, gid);
  }
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query('ALTER SYSTEM SET ssl = on');
  await client.query('SELECT pg_reload_conf()');
  await client.end();
}
