/** Clients, services and backlogs that would take everything, if they were let. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { expect } from 'vitest';
import { accepted, statuses } from '../../harness/client/client.ts';
import { until } from '../../harness/until.ts';
import { taskOf } from '../../support/expect-answers.ts';
import { processesTest } from '../../support/processes.ts';
import { calling } from '../../support/scenario.ts';
import { workflow } from '../../support/test-task.ts';

const test = processesTest('redis');
const ownRedis = processesTest('redis', { ownRedis: true, environment: { ADMISSION_WINDOW: '40' } });

test('answers that unpack to, or are, tens of megabytes fail their own task and no other', async ({
  api,
  processes,
  service,
}) => {
  const bomb = gzipSync(Buffer.alloc(200_000_000, 'x'));
  service.answer(({ path }, response) => {
    if (path === '/bomb') {
      response.writeHead(200, { 'content-type': 'text/plain', 'content-encoding': 'gzip' }).end(bomb);
      return undefined;
    }
    if (path !== '/large') return { body: { fine: true } };
    response.writeHead(200, { 'content-type': 'text/plain' });
    const pour = () => {
      while (response.writable && response.write('x'.repeat(64_000)));
      response.once('drain', pour);
    };
    pour();
    return undefined;
  });
  await processes.start('api');
  const worker = await processes.start('worker');
  const beside = Array.from({ length: 20 }, (_, n) => `good${n}`);
  const once = { on_failure: 'continue', retry: { max_attempts: 1 } };
  const actions = ['bomb', 'large', ...beside].map((id) => calling(service, id, [], once));
  const run = await api.run(workflow(actions));
  expect(run.status).toBe('completed');
  for (const id of beside) expect(taskOf(run, id)).toMatchObject({ status: 'completed', attempts: 1 });
  for (const id of ['bomb', 'large'])
    expect(taskOf(run, id)).toMatchObject({ status: 'failed', error: { message: expect.stringContaining('larger') } });
  expect(worker.isAlive()).toBe(true);
});

test('a service that is overloaded is called as often as the policies allow, and never before it asks to be', async ({
  api,
  processes,
  service,
}) => {
  const TASKS = 15;
  const RETRY_AFTER_SECONDS = 2;
  service.answer(() => ({ status: 503, headers: { 'retry-after': String(RETRY_AFTER_SECONDS) } }));
  await processes.start('api');
  await Promise.all([1, 2].map(() => processes.start('worker')));
  const retry = { max_attempts: 3, backoff: 'fixed', initial_delay_seconds: 0.1 };
  const actions = Array.from({ length: TASKS }, (_, n) => calling(service, `call${n}`, [], { retry }));
  const run = await api.run(workflow(actions));
  expect(new Set(Object.values(statuses(run)))).toEqual(new Set(['failed']));
  expect(service.calls).toHaveLength(TASKS * retry.max_attempts);
  for (const key of new Set(service.calls.map(({ idempotencyKey }) => idempotencyKey))) {
    const at = service.calls.filter(({ idempotencyKey }) => idempotencyKey === key).map((call) => call.at);
    for (const [n, time] of at.slice(1).entries())
      expect(time - (at[n] ?? time)).toBeGreaterThanOrEqual(RETRY_AFTER_SECONDS * 1_000);
  }
});

test('no job waits for clients that send a byte at a time or do not read, and the slow ones are sent away', async ({
  api,
  processes,
}) => {
  await processes.start('api');
  await processes.start('worker');
  const { hostname, port } = new URL(api.url);
  const open = async (): Promise<Socket> => {
    const socket = connect({ host: hostname, port: Number(port) });
    socket.on('error', () => socket.destroy());
    await once(socket, 'connect');
    return socket;
  };
  const slow = await Promise.all(Array.from({ length: 150 }, open));
  for (const socket of slow) socket.write('GET / HTTP/1.1\r\nX-Slow: ');
  const drip = setInterval(() => {
    for (const socket of slow) if (socket.writable) socket.write('x');
  }, 200);
  const deaf = await Promise.all(Array.from({ length: 30 }, open));
  const request = 'GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n';
  for (const socket of deaf) {
    socket.pause();
    socket.write(request.repeat(50));
  }
  try {
    for (let n = 0; n < 5; n += 1)
      expect(await api.ended(await api.assign({ task_type: 'test_task', params: { n } }))).toMatchObject({
        status: 'completed',
      });
    for (const socket of slow) socket.resume();
    await until(() => slow.every((socket) => socket.destroyed), {
      what: 'the slow ones are gone',
    });
    expect(await api.get('/health')).toMatchObject({ status: 200 });
  } finally {
    clearInterval(drip);
    for (const socket of [...slow, ...deaf]) socket.destroy();
  }
});

ownRedis(
  'a backlog from an outage is taken up at the pace of the window, and new requests are answered meanwhile',
  async ({ api, processes, db }) => {
    await processes.start('api');
    await Promise.all([1, 2].map(() => processes.start('worker')));
    const start = await processes.killRedis();
    const tasks = Array.from({ length: 600 }, (_, n) => ({ task_type: 'test_task', params: { n } }));
    accepted(await api.post('/assign-tasks', { tasks }), 202);
    await start();
    let most = 0;
    const open = async () => {
      const { rows } = await db.query<{ left: number; inside: number }>(
        `SELECT count(*)::int AS left, count(*) FILTER (WHERE status <> 'pending')::int AS inside FROM run WHERE NOT final`,
      );
      most = Math.max(most, rows[0]?.inside ?? 0);
      return rows[0]?.left ?? 0;
    };
    await until(async () => (await open()) < 500, { what: 'the backlog becomes smaller' });
    const late = await api.assign({ task_type: 'test_task' });
    await until(async () => (await open()) === 0, { what: 'the backlog is done' });
    expect(await api.ended(late)).toMatchObject({ status: 'completed' });
    expect(most).toBeLessThanOrEqual(2 * 40);
  },
  90_000,
);
