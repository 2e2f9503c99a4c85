import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { lockFolder } from '../../src/launch/folder-lock.ts';
import { freePort } from '../../src/launch/postgres-server.ts';
import { isAlive } from '../../src/launch/processes.ts';
import { projectRoot } from '../../src/project-root.ts';
import { until } from '../harness/until.ts';
import { makeCertificate } from '../support/certificate.ts';

/** What `npm start` runs once everything is installed and compiled, and what the image runs. */
const programOf = (name: 'start' | 'all') => path.join(projectRoot(), 'dist', 'bin', `${name}.js`);

interface Start {
  child: ChildProcess;
  output(): string;
  ended: Promise<number | null>;
  /** Where its API is, once it says that it is ready. */
  api(): Promise<string>;
}

let folder: string;
let starts: Start[];

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'start-'));
  chmodSync(folder, 0o755); // The database may run as another user.
  starts = [];
});
afterEach(async () => {
  for (const { child, ended } of starts) {
    child.kill('SIGTERM');
    await ended;
  }
  rmSync(folder, { recursive: true, force: true });
});

function start(
  environment: Record<string, string> = {},
  through: string[] = [],
  name: 'start' | 'all' = 'start',
): Start {
  const own = { DATA_DIR: path.join(folder, 'data'), PORT: '0', WORKER_PORT: '0', LOG_FILE: 'none', ...environment };
  const [program = '', ...args] = [...through, process.execPath, programOf(name)];
  const child = spawn(program, args, {
    cwd: folder,
    env: { PATH: process.env['PATH'], ...own },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
  }
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const started: Start = {
    child,
    ended,
    output: () => text,
    async api() {
      const found = await until(() => /is ready\.\n {2}API {9}(\S+)/.exec(text)?.[1] ?? child.exitCode !== null, {
        what: 'it says that it is ready',
      });
      if (typeof found !== 'string') throw new Error(`It ended: ${text}`);
      return found;
    },
  };
  starts.push(started);
  return started;
}

async function assign(api: string, params: object, task_type = 'test_task'): Promise<string> {
  const answer = await fetch(`${api}/assign-task`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ task_type, params }),
  });
  expect(answer.status).toBe(202);
  const { task_id } = (await answer.json()) as { task_id: string };
  return task_id;
}

function completed(api: string, task: string): Promise<unknown> {
  return until(
    async () => {
      const answer = (await (await fetch(`${api}/result/${task}`)).json()) as { status: string; result?: unknown };
      return answer.status === 'completed' ? answer.result : undefined;
    },
    { what: `task ${task} is completed` },
  );
}

/** The processes it started, by what they say about themselves. */
function pids(output: string): number[] {
  return [...output.matchAll(/"event":"process\.ready".*?"pid":(\d+)/g)].map(([, pid]) => Number(pid));
}

test('one command runs tasks, tells where to look, and stops everything in good order', async () => {
  const first = start();
  const api = await first.api();
  expect(first.output()).toContain(`Docs        ${api}/docs`);
  expect(first.output()).toContain(`Bull Board  ${api}/admin/queues`);
  expect(first.output()).toContain('listens on this machine only');
  expect(await completed(api, await assign(api, { word: 'hello' }))).toMatchObject({ word: 'hello' });
  // What packages keep beside themselves is found from the bundle.
  const board = await (await fetch(`${api}/admin/queues`)).text();
  const script = /static\/js\/[^"]+\.js/.exec(board)?.[0];
  for (const page of ['docs/assets/swagger-ui.css', 'redoc/assets/redoc.standalone.js', `admin/queues/${script}`])
    expect((await fetch(`${api}/${page}`)).status, page).toBe(200);

  first.child.kill('SIGTERM');
  expect(await first.ended).toBe(0);
  expect(pids(first.output()).filter(isAlive)).toEqual([]);
});

test('results are still there after a restart', async () => {
  const first = start();
  const task = await assign(await first.api(), { number: 1 });
  await completed(await first.api(), task);
  first.child.kill('SIGINT');
  expect(await first.ended).toBe(0);
  expect(await completed(await start().api(), task)).toMatchObject({ number: 1 });
});

test('a second start on the same data folder is refused in one sentence', async () => {
  const first = start();
  await first.api();
  const second = start();
  expect(await second.ended).toBe(1);
  expect(second.output()).toMatch(
    new RegExp(`^The data folder .* is in use by another start, process ${first.child.pid}: [^\\n]*\\n$`),
  );
});

test('after a kill -9 its processes end by themselves and the next start works', async () => {
  const first = start();
  const task = await assign(await first.api(), { number: 2 });
  await completed(await first.api(), task);
  first.child.kill('SIGKILL');
  await until(() => pids(first.output()).length === 2 && !pids(first.output()).some(isAlive), {
    what: 'its children have ended',
  });
  expect(await completed(await start().api(), task)).toMatchObject({ number: 2 });
});

test('a SIGTERM to npm, which reaches the shell in between and no further, stops everything', async () => {
  const first = start({ npm_lifecycle_event: 'start' }, ['/bin/sh', '-c', '"$@"; true', 'sh']);
  await first.api();
  first.child.kill('SIGTERM');
  await until(() => first.output().includes('Stopping') && !pids(first.output()).some(isAlive), {
    what: 'everything is stopped',
  });
  // The data folder is free again once the database has stopped too.
  await until(async () => (await lockFolder(path.join(folder, 'data'))).release().then(() => true), {
    what: 'the folder is free',
  });
});

test('a worker that is killed is started again', async () => {
  const first = start();
  const api = await first.api();
  const worker = Number(
    /"logger":"worker"[^\n]*"event":"process\.ready"[^\n]*"pid":(\d+)|"event":"process\.ready","logger":"worker"[^\n]*"pid":(\d+)/
      .exec(first.output())
      ?.slice(1)
      .find(Boolean),
  );
  process.kill(worker, 'SIGKILL');
  expect(await completed(api, await assign(api, { word: 'again' }))).toMatchObject({ word: 'again' });
  expect(first.output()).toContain('The worker ended (SIGKILL); it is started again in 0.5 s.');
});

describe('the default command of the image', () => {
  /** Another address of this machine than the one that only this machine reaches. */
  const OUTSIDE = '127.0.0.2';
  const isReachable = (port: number) =>
    fetch(`http://${OUTSIDE}:${port}/health`).then(
      ({ ok }) => ok,
      () => false,
    );

  test('applies the migrations and does the task of the README, with a database of its own, on both ports for others', async () => {
    const [port, metricsPort] = [await freePort(), await freePort()];
    const ports = { PORT: `${port}`, WORKER_PORT: '', METRICS_PORT: `${metricsPort}` };
    const all = start({ AUTH_MODE: 'none', ...ports }, [], 'all');
    await all.api();
    expect(all.output()).toContain('Applied the migration');
    const api = `http://${OUTSIDE}:${port}`;
    const task = await assign(api, { batch_ids: [1, 2, 3], auto_approve: true }, 'approve_batches');
    const { status } = (await (await fetch(`${api}/result/${task}?wait=10`)).json()) as { status: string };
    expect(status).toBe('completed');
    expect(await isReachable(metricsPort)).toBe(true);
    expect(await (await fetch(`http://${OUTSIDE}:${metricsPort}/metrics`)).text()).toContain('orchestrator_');

    all.child.kill('SIGTERM');
    expect(await all.ended).toBe(0);
    expect(pids(all.output()).filter(isAlive)).toEqual([]);
  });

  test('serves this machine alone without credentials, and says what lets others in', async () => {
    const [port, metricsPort] = [await freePort(), await freePort()];
    const all = start({ PORT: `${port}`, WORKER_PORT: `${metricsPort}` }, [], 'all');
    const api = await all.api();
    expect(all.output()).toContain('listens on this machine only; API_KEY or AUTH_MODE=none lets others in');
    expect((await fetch(`${api}/health`)).ok).toBe(true);
    expect(await isReachable(port)).toBe(false);
    expect(await isReachable(metricsPort)).toBe(false);
  });

  test('speaks TLS on both ports with ENABLE_TLS', async () => {
    const metricsPort = await freePort();
    const { cert, certPath, keyPath } = makeCertificate(folder);
    const tls = { ENABLE_TLS: 'true', TLS_CERT_PATH: certPath, TLS_KEY_PATH: keyPath };
    const all = start({ WORKER_PORT: `${metricsPort}`, ...tls }, [], 'all');
    for (const base of [await all.api(), `https://127.0.0.1:${metricsPort}`]) {
      expect(base).toMatch(/^https:/);
      const status = await new Promise((resolve, reject) => {
        const call = request(`${base}/health`, { ca: cert, agent: false }, (answer) => {
          answer.resume();
          resolve(answer.statusCode);
        });
        call.once('error', reject);
        call.end();
      });
      expect(status, base).toBe(200);
    }
  });

  test('does not start where it is to listen for others without credentials', async () => {
    const all = start({ HOST: '0.0.0.0' }, [], 'all');
    expect(await all.ended).toBe(78);
    expect(all.output()).toContain(
      'set API_KEY, JWT_SECRET, JWKS_URL or IDENTITY_SERVICE_URL, or AUTH_MODE=none to let everybody in',
    );
  });
});

test('a configuration that cannot work is told in full', async () => {
  const refused = start({ PORT: 'x', LOG_LEVEL: 'loud' });
  expect(await refused.ended).not.toBe(0);
  expect(refused.output()).toContain('PORT must be');
  expect(refused.output()).toContain('LOG_LEVEL must be');
});

test.each(['api', 'worker'])('the %s alone says that it needs DATABASE_URL', async (name) => {
  const child = spawn(process.execPath, [path.join(projectRoot(), 'dist/bin', `${name}.js`)], {
    cwd: folder,
    env: {},
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  const code = await new Promise((resolve) => child.once('close', resolve));
  expect(code).not.toBe(0);
  expect(text).toBe(
    `The ${name} needs DATABASE_URL, or an \`npm start\` in DATA_DIR, which brings a database of its own.\n`,
  );
});
