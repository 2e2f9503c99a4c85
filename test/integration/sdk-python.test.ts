/** The Python SDK: a program over a restart of the API, and a worker that shares a topic with one in TypeScript. */
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { webhookHeaders } from '../../src/features/webhooks/sign-webhook.ts';
import { projectRoot } from '../../src/project-root.ts';
import { until } from '../harness/until.ts';
import { processesTest } from '../support/processes.ts';
import { bundleSdk } from '../support/sdk-bundle.ts';
import { workflow } from '../support/test-task.ts';

const CHILDREN = path.join(projectRoot(), 'test/support/children');
const PYTHON = { ...process.env, PYTHONPATH: path.join(projectRoot(), 'sdk/python'), PYTHONDONTWRITEBYTECODE: '1' };
const TASKS = 30;

interface Program {
  child: ChildProcess;
  lines: string[];
  ended: Promise<number | null>;
}

function start(command: string, args: readonly string[], onLine: (line: string) => void = () => undefined): Program {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env: PYTHON });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    onLine(line);
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  return { child, lines, ended };
}

let sdk: Awaited<ReturnType<typeof bundleSdk>> | undefined;
beforeAll(async () => {
  sdk = await bundleSdk();
});
afterAll(() => sdk?.close());

describe('the Python SDK', () => {
  const test = processesTest('redis');

  test('a program runs a workflow, follows it over a kill -9 of the API, and verifies webhooks', async ({
    processes,
  }) => {
    const api = await processes.start('api');
    await processes.start('worker');
    let restarted: Promise<void> | undefined;
    const restart = async () => {
      await api.end('SIGKILL');
      await processes.start('api');
    };
    const program = start('python3', [path.join(CHILDREN, 'sdk_client.py'), processes.api.url], (line) => {
      if (line === 'started') restarted = restart();
    });
    const body = JSON.stringify({ type: 'run.completed', text: 'ü' });
    const secret = `whsec_${Buffer.from('a secret of some length').toString('base64')}`;
    const now = new Date();
    const headers = webhookHeaders(['another secret', secret], 'msg_1', now, body);
    program.child.stdin?.end(JSON.stringify({ secret, headers, body, late: now.getTime() / 1_000 + 301 }));
    try {
      expect(await program.ended).toBe(0);
      await restarted;
    } finally {
      program.child.kill('SIGKILL');
    }
    const said = JSON.parse(program.lines.at(-1) ?? '{}') as { events: string[] };
    expect(said).toMatchObject({ output: { say: { said: 'hello' } }, failed: 'failed', same: true });
    expect(said.events.length).toBeGreaterThan(2);
    expect(new Set(said.events).size).toBe(said.events.length);
  });

  test('a worker in Python and one in TypeScript share a topic, one is killed, and each task has one result', async ({
    processes,
    api,
    db,
  }) => {
    await processes.start('api');
    await processes.start('worker');
    const items = Array.from({ length: TASKS }, (_, n) => ({ n, ms: 300 }));
    const each = {
      action_id: 'each',
      action_type: 'external',
      for_each: { items },
      config: { topic: 'shared', input: '{{item}}' },
    };
    const id = await api.createWorkflow(workflow([each]));
    const python = start('python3', [path.join(CHILDREN, 'sdk_worker.py'), api.url, 'shared', 'python']);
    const typescript = start(process.execPath, [
      path.join(CHILDREN, 'sdk-worker.mjs'),
      sdk?.file ?? '',
      api.url,
      'shared',
      'typescript',
    ]);
    try {
      const run = await api.execute(id);
      await until(() => python.lines.length >= 3 && typescript.lines.length >= 3, { what: 'both have taken tasks' });
      python.child.kill('SIGKILL');
      await api.ended(run);
      const { status, output } = await api.execution(run);
      expect(status).toBe('completed');
      const results = output as { each: Array<{ n: number; by: string }> }; // As the workers answer.
      expect(results.each.map(({ n }) => n)).toEqual(items.map(({ n }) => n));
      expect(new Set(results.each.map(({ by }) => by))).toEqual(new Set(['python', 'typescript']));
      const { rows } = await db.query(
        `SELECT count(*)::int AS tasks, count(DISTINCT action_id)::int AS items, max(deliveries) > 1 AS taken_over
         FROM external_task WHERE run_id = $1 AND status = 'completed'`,
        [run],
      );
      expect(rows).toEqual([{ tasks: TASKS, items: TASKS, taken_over: true }]);
      typescript.child.kill('SIGTERM');
      expect(await typescript.ended).toBe(0);
    } finally {
      python.child.kill('SIGKILL');
      typescript.child.kill('SIGKILL');
    }
  });

  test('a worker in Python reports failures for good, and ends after SIGTERM when it is done', async ({
    processes,
    api,
  }) => {
    await processes.start('api');
    await processes.start('worker');
    const actions = [
      { action_id: 'fails', action_type: 'external', config: { topic: 'python', input: { fail: true } } },
      { action_id: 'works', action_type: 'external', config: { topic: 'python', input: { n: 1, ms: 3_000 } } },
    ];
    const id = await api.createWorkflow(workflow(actions));
    const python = start('python3', [path.join(CHILDREN, 'sdk_worker.py'), api.url, 'python', 'python']);
    try {
      const run = await api.execute(id);
      await until(() => python.lines.length >= 2, { what: 'both tasks are taken' });
      python.child.kill('SIGTERM');
      expect(await python.ended).toBe(0);
      await api.ended(run);
      const { tasks } = await api.execution(run);
      expect(tasks).toMatchObject([
        { action_id: 'fails', status: 'failed', attempts: 1, error: { code: 'no_stock', message: 'never' } },
        { action_id: 'works', status: 'completed', attempts: 1, output: { n: 1, by: 'python' } },
      ]);
    } finally {
      python.child.kill('SIGKILL');
    }
  });
});
