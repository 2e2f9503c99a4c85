/** What is said about a server that is not supported: a real one, of the newest major that is too old. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { environmentWith } from '../../src/config/config.ts';
import type { Finding } from '../../src/doctor/finding.ts';
import { freePort, type PostgresServer } from '../../src/launch/postgres-server.ts';
import { createOrchestrator } from '../../src/library.ts';
import { projectRoot } from '../../src/project-root.ts';
import { startTcpProxy, through } from '../harness/servers/tcp-proxy.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { REFUSED_MAJOR, startPostgresOf } from '../support/postgres-versions.ts';
import { openStack } from '../support/stack.ts';

let old: PostgresServer;
let sentence: string;
let folder: string;

beforeAll(async () => {
  old = await startPostgresOf(REFUSED_MAJOR);
  folder = mkdtempSync(path.join(tmpdir(), 'test-refused-'));
  const client = new pg.Client({ connectionString: old.url });
  await client.connect();
  const { rows } = await client.query<{ version: string }>(`SELECT current_setting('server_version') AS version`);
  await client.end();
  sentence = `PostgreSQL ${rows[0]?.version} is not supported: PostgreSQL 14 to 18 is needed.`;
});
afterAll(async () => {
  await old.stop();
  rmSync(folder, { recursive: true, force: true });
});

function run(program: string, port: number, args: string[] = []) {
  const ports = { PORT: String(port), WORKER_PORT: String(port), SECRETS_KEY: Buffer.alloc(32, 7).toString('base64') };
  return spawnSync(process.execPath, [path.join(projectRoot(), 'dist', 'bin', `${program}.js`), ...args], {
    ...{ cwd: folder, encoding: 'utf8', timeout: 60_000, killSignal: 'SIGKILL' },
    env: environmentWith({
      VITEST: undefined,
      NODE_ENV: 'production',
      LOG_FILE: 'none',
      DATABASE_URL: old.url,
      ...ports,
    }),
  });
}

test.each(['api', 'worker', 'migrate', 'start'])(
  'the %s refuses it in exactly one sentence, and nothing listens',
  async (program) => {
    const port = await freePort();
    const { status, stdout, stderr } = run(program, port);
    expect({ status, said: `${stdout}${stderr}` }).toEqual({ status: 78, said: `${sentence}\n` });
    expect(await listens(port)).toBe(false);
  },
);

test.each(['audit-verify', 'rotate-secrets'])('%s does nothing with it, and says why', async (program) => {
  const { status, stderr } = run(program, await freePort());
  expect(status).toBeGreaterThan(0);
  expect(stderr).toContain(sentence);
});

test('the doctor calls it a problem in the same sentence', async () => {
  const { status, stdout } = run('doctor', await freePort(), ['--json']);
  const { findings } = JSON.parse(stdout) as { findings: Finding[] };
  expect(findings.find(({ check }) => check === 'postgres_version')).toMatchObject({
    status: 'problem',
    message: sentence,
  });
  expect(findings.filter(({ check }) => check === 'postgres')).toEqual([]);
  expect(status).toBe(2);
});

test('the library rejects with the same sentence', async () => {
  await expect(createOrchestrator({ databaseUrl: old.url })).rejects.toThrow(sentence);
});

test('an API whose database is exchanged for it answers 503, and 202 for nothing', async () => {
  const target = { host: '127.0.0.1', port: 0 };
  const proxy = await startTcpProxy(target);
  const stack = await openStack('postgres', {
    workers: 0,
    databaseUrl(real) {
      target.port = Number(new URL(real).port);
      return through(proxy, real);
    },
  });
  try {
    const id = await stack.api.assign({ task_type: 'test_task' });
    target.port = old.port;
    await asTheOther(stack.databaseUrl);
    proxy.reset();
    expectProblem(await stack.api.post('/assign-task', { task_type: 'test_task' }), 503, 'database_not_usable');
    expectProblem(await stack.api.get('/workflows'), 503, 'database_not_usable');
    expect(await stack.api.get('/ready')).toMatchObject({ status: 503 });
    target.port = Number(new URL(stack.databaseUrl).port);
    proxy.reset();
    expect(await stack.api.get(`/result/${id}`)).toMatchObject({ status: 200 });
  } finally {
    await stack.stop();
    await proxy.close();
  }
});

/** Lets the same address, password and database be found there. */
async function asTheOther(url: string): Promise<void> {
  const { username, password, pathname } = new URL(url);
  const client = new pg.Client({ connectionString: old.url });
  await client.connect();
  await client.query(
    `ALTER ROLE ${pg.escapeIdentifier(username)} PASSWORD ${pg.escapeLiteral(decodeURIComponent(password))}`,
  );
  await client.query(`CREATE DATABASE ${pg.escapeIdentifier(pathname.slice(1))}`);
  await client.end();
  const there = new URL(old.url);
  there.password = password;
  old.url = there.href;
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
