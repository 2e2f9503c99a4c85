/** What a quiet tenant notices of a noisy one: its tasks and `/livez`, first alone, then beside every noise at once. */
import { setTimeout as sleep } from 'node:timers/promises';
import { table } from '../test/harness/command-line/table.ts';
import { type Answer, type Connection, openConnection, requestOf } from './http-load.ts';
import { type Ask, NOISES } from './noises.ts';
import { startPart } from './product.ts';
import { median, quantile } from './quantiles.ts';
import { describeMachine } from './report.ts';
import type { Servers } from './servers.ts';

const NOBODY_KNOWS = 'whsec_bm9ib2R5IGtub3dzIHRoaXMgc2VjcmV0IGF0IGFsbA==';
const TASKS = 200;
/** Tasks come at their times, however long those before them take: a wait is counted for each that it holds up. */
const TASK_EVERY_MS = 100;
const LIVEZ_EVERY_MS = 100;
const RESULT_SECONDS = 30;
/** The noises are under way before anything is measured. */
const BEFORE_MS = 3_000;
/** A noise whose request is not answered by then asks anew. */
const PATIENCE_MS = 30_000;

interface Measured {
  /** Milliseconds from the request to the result. */
  tasks: number[];
  slowestLivezMs: number;
}

export async function measureNoisy(servers: Servers, say: (line: string) => void): Promise<string> {
  // Forged signatures are only looked at where somebody may sign.
  const settings = { INBOUND_WEBHOOK_SECRET: JSON.stringify({ quiet: [NOBODY_KNOWS], noisy: [NOBODY_KNOWS] }) };
  const api = await startPart(servers, 'api', { settings });
  const worker = await startPart(servers, 'worker', { settings });
  const noise = new AbortController();
  const answers = new Map<string, Map<number, number>>();
  try {
    say('Warming up …');
    await runCondition(api.port);
    await measure(api.port);
    say(`${TASKS} tasks of a quiet tenant, alone …`);
    const idle = await measure(api.port);
    say('… and beside the noise of another:');
    const making = NOISES.map(({ name, make }) => {
      const statuses = new Map<number, number>();
      answers.set(name, statuses);
      return make(askAt(api.port, statuses, noise.signal), noise.signal);
    });
    await sleep(BEFORE_MS);
    const noisy = await measure(api.port);
    noise.abort();
    await Promise.all(making);
    return reportOf(idle, noisy, answers);
  } finally {
    noise.abort();
    await Promise.all([api, worker].map((part) => part.end('SIGTERM')));
  }
}

async function measure(port: number): Promise<Measured> {
  const done = new AbortController();
  const slowest = slowestLivez(port, done.signal);
  const tasks: Promise<number>[] = [];
  for (let task = 0; task < TASKS; task += 1) {
    tasks.push(timeOfTask(port));
    await sleep(TASK_EVERY_MS);
  }
  const took = await Promise.all(tasks);
  done.abort();
  return { tasks: took, slowestLivezMs: await slowest };
}

/** The threads of the worker that evaluate are started by the first condition there is. */
async function runCondition(port: number): Promise<void> {
  const connection = openConnection(port);
  const post = async (path: string, body: object): Promise<Record<string, string>> => {
    const answer = await connection.send(requestOf('POST', path, body, { 'X-Tenant-ID': 'quiet' }));
    return JSON.parse(answer.body) as Record<string, string>; // As the API documents it.
  };
  const action = { action_id: 'a', action_type: 'test_task', config: { n: 1 }, when: '1 + 1 == 2' };
  const { workflow_id: id } = await post('/workflows', { name: 'condition', actions: [action] });
  const { execution_id: run } = await post(`/workflows/${id}/execute`, {});
  await connection.send(
    requestOf('GET', `/result/${run}?wait=${RESULT_SECONDS}`, undefined, { 'X-Tenant-ID': 'quiet' }),
  );
  connection.close();
}

async function timeOfTask(port: number): Promise<number> {
  const headers = { 'X-Tenant-ID': 'quiet' };
  const started = performance.now();
  const connection = openConnection(port);
  try {
    const accepted = await connection.send(
      requestOf('POST', '/assign-task', { task_type: 'test_task', params: { n: 1 } }, headers),
    );
    if (accepted.status !== 202) throw new Error(`a task was answered with ${accepted.status}: ${accepted.body}`);
    const { task_id: id } = JSON.parse(accepted.body) as { task_id: string }; // As the API documents it.
    for (;;) {
      const { body } = await connection.send(
        requestOf('GET', `/result/${id}?wait=${RESULT_SECONDS}`, undefined, headers),
      );
      if (body.includes('"completed"')) return performance.now() - started;
      if (!/"(pending|running)"/.test(body)) throw new Error(`a task ended otherwise: ${body}`);
    }
  } finally {
    connection.close();
  }
}

async function slowestLivez(port: number, signal: AbortSignal): Promise<number> {
  let slowest = 0;
  const connection = openConnection(port);
  while (!signal.aborted) {
    const started = performance.now();
    const { status } = await connection.send(requestOf('GET', '/livez'));
    if (status !== 200) throw new Error(`/livez answered ${status}`);
    slowest = Math.max(slowest, performance.now() - started);
    await sleep(LIVEZ_EVERY_MS);
  }
  connection.close();
  return slowest;
}

/** Requests of one noise, one at a time, on a connection that is opened anew when it was closed. */
function askAt(port: number, statuses: Map<number, number>, signal: AbortSignal): Ask {
  let connection: Connection | undefined;
  return async (method, path, body, headers) => {
    connection ??= openConnection(port);
    const none: Answer = { status: 0, body: '' };
    const late = sleep(PATIENCE_MS, none, { signal, ref: false }).catch(() => none);
    const request = requestOf(method, path, body, { 'X-Tenant-ID': 'noisy', ...headers });
    const answer = await Promise.race([connection.send(request).catch(() => none), late]);
    statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
    if (answer.status === 0 || signal.aborted) {
      connection.close();
      connection = undefined;
      // What is refused at once is not asked again in a tight loop of this process.
      await sleep(10);
    }
    return answer;
  };
}

function reportOf(idle: Measured, noisy: Measured, answers: ReadonlyMap<string, ReadonlyMap<number, number>>): string {
  const row = (name: string, of: (measured: Measured) => number) => [
    name,
    of(idle).toFixed(1),
    of(noisy).toFixed(1),
    (of(noisy) / of(idle)).toFixed(1),
  ];
  return [
    '# A quiet tenant beside a noisy one',
    '',
    `${describeMachine()}. Load, API, worker, Redis and PostgreSQL share it. ${TASKS} single tasks of one tenant, one every ${TASK_EVERY_MS} ms, from the request to the result, and /livez every ${LIVEZ_EVERY_MS} ms: alone, and while another tenant makes every noise of the second table at once.`,
    '',
    table(
      ['', 'alone, ms', 'beside the noise, ms', 'ratio'],
      [
        row('p50 of a task', ({ tasks }) => median(tasks)),
        row('p99 of a task', ({ tasks }) => quantile(tasks, 0.99)),
        row('slowest task', ({ tasks }) => Math.max(...tasks)),
        row('slowest /livez', ({ slowestLivezMs }) => slowestLivezMs),
      ],
    ),
    '',
    table(
      ['noise', 'answers (status: how many)'],
      [...answers].map(([name, statuses]) => [
        name,
        [...statuses].map(([status, count]) => `${status === 0 ? 'none' : status}: ${count}`).join(', '),
      ]),
    ),
    '',
  ].join('\n');
}
