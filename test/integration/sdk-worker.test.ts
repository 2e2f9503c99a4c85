/** Workers of the SDK: leases, answers, heartbeats, lost leases, and the end of the process. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect } from 'vitest';
import { z } from 'zod';
import {
  createClient,
  createWorker,
  defineAdapter,
  NonRetryableError,
  type WorkerAdapter,
  type WorkerContext,
  type WorkerOptions,
} from '../../sdk/src/index.ts';
import { projectRoot } from '../../src/project-root.ts';
import type { Client } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { taskOf } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { bundleSdk } from '../support/sdk-bundle.ts';
import { echo, QUICK_RETRY, type TestAction, workflow } from '../support/test-task.ts';

const outside = (id: string, topic: string, input: unknown, more: object = {}): TestAction => ({
  action_id: id,
  action_type: 'external',
  config: { topic, input },
  ...more,
});

/** Ends with `stop`, also when what is between fails. */
async function whileWorking<T>(
  api: Client,
  options: Omit<WorkerOptions, 'signals'>,
  work: () => Promise<T>,
): Promise<T> {
  const worker = createWorker(createClient({ url: api.url }), { signals: [], graceMs: 1_000, ...options });
  const running = worker.run();
  try {
    return await work();
  } finally {
    worker.stop();
    await running;
  }
}

describe.each(onBothBackends())('workers of the SDK on $backend', ({ test }) => {
  test('an adapter gets what its schema has parsed, reports, logs, and its output goes on', async ({ api }) => {
    const count = defineAdapter({
      type: 'sdk:count',
      config: z.strictObject({ text: z.string(), times: z.int().default(1) }),
      output: z.object({ words: z.int() }),
      async run({ text, times }, context) {
        context.log.info('counting', { times });
        context.progress(50, 'half of it');
        return { words: text.split(' ').length * times };
      },
    });
    const actions = [
      outside('count', 'sdk:count', { text: 'a b c' }),
      echo('after', ['count'], { n: '{{count.words}}' }),
    ];
    const id = await api.createWorkflow(workflow(actions));
    await whileWorking(api, { adapters: [count] }, async () => {
      const run = await api.execute(id);
      await api.ended(run);
      const execution = await api.execution(run);
      expect(execution).toMatchObject({ status: 'completed' });
      expect(taskOf(execution, 'after')).toMatchObject({ output: { n: 3 } });
      const logged = async () => JSON.stringify((await api.get(`/executions/${run}/logs`)).body);
      await until(async () => /"message":"counting".*"fields":\{"times":1\}/.test(await logged()), {
        what: 'the line is stored',
      });
    });
  });

  test('a failure is tried again, one that cannot be helped is not, and neither is an input that does not fit', async ({
    api,
  }) => {
    const attempts: number[] = [];
    const flaky: WorkerAdapter = {
      type: 'sdk:flaky',
      run(_, { attempt }) {
        attempts.push(attempt);
        if (attempt === 1) throw new Error('not yet');
        return attempt;
      },
    };
    const hopeless: WorkerAdapter = {
      type: 'sdk:hopeless',
      run: () => Promise.reject(new NonRetryableError('never', { code: 'no_stock' })),
    };
    const strict: WorkerAdapter<never> = {
      type: 'sdk:strict',
      config: z.object({ n: z.int() }) as never,
      run: () => 1,
    };
    const retry = { retry: QUICK_RETRY, on_failure: 'continue' };
    const actions = [
      outside('flaky', 'sdk:flaky', {}, retry),
      outside('hopeless', 'sdk:hopeless', {}, retry),
      outside('strict', 'sdk:strict', { n: 'one' }, retry),
    ];
    const id = await api.createWorkflow(workflow(actions));
    await whileWorking(api, { adapters: [flaky, hopeless, strict] }, async () => {
      const run = await api.execute(id);
      await api.ended(run);
      const execution = await api.execution(run);
      expect(attempts).toEqual([1, 2]);
      expect(taskOf(execution, 'flaky')).toMatchObject({ status: 'completed', output: 2 });
      expect(taskOf(execution, 'hopeless')).toMatchObject({
        status: 'failed',
        attempts: 1,
        error: { code: 'no_stock', message: 'never' },
      });
      expect(taskOf(execution, 'strict')).toMatchObject({ attempts: 1, error: { code: 'input_invalid' } });
    });
  });

  test('heartbeats keep a task that takes longer than its lease; one whose lease is lost is aborted and not answered', async ({
    api,
    db,
  }) => {
    let context: WorkerContext | undefined;
    let finish: () => void = () => undefined;
    const slow: WorkerAdapter = {
      type: 'sdk:slow',
      run(_, given) {
        context = given;
        return new Promise((resolve) => {
          finish = () => resolve('done');
        });
      },
    };
    const faults: unknown[] = [];
    const id = await api.createWorkflow(workflow([outside('slow', 'sdk:slow', {})]));
    const options = {
      adapters: [slow],
      leaseSeconds: 1,
      concurrency: 1,
      onFault: (error: unknown) => void faults.push(error),
    };
    await whileWorking(api, options, async () => {
      const run = await api.execute(id);
      const first = await until(() => context, { what: 'the task is taken' });
      const lease = async () => {
        const { rows } = await db.query('SELECT lease_until FROM external_task WHERE run_id = $1', [run]);
        return rows[0] as { lease_until: Date }; // As the statement says.
      };
      const { lease_until: start } = await lease();
      await until(async () => (await lease()).lease_until.getTime() - start.getTime() > 2_000, {
        what: 'the lease was extended',
      });
      expect(context).toBe(first);
      // Somebody else has it.
      await db.query(`UPDATE external_task SET lease_token = 'other', lease_until = now() WHERE run_id = $1`, [run]);
      await until(() => first.signal.aborted, { what: 'the adapter is aborted' });
      finish();
      // The abandoned lease runs out, and this worker takes the task anew.
      const second = await until(() => context !== first && context, { what: 'it is leased again' });
      expect(second.attempt).toBe(1);
      finish();
      await api.ended(run);
      expect(await api.execution(run)).toMatchObject({ status: 'completed', tasks: [{ output: 'done', attempts: 1 }] });
      expect(faults).toContainEqual(expect.objectContaining({ code: 'lease_lost' }));
    });
  });

  test('a cancelled execution aborts the adapter', async ({ api }) => {
    let context: WorkerContext | undefined;
    const endless: WorkerAdapter = {
      type: 'sdk:endless',
      run: (_, given) => {
        context = given;
        return new Promise(() => undefined);
      },
    };
    const id = await api.createWorkflow(workflow([outside('endless', 'sdk:endless', {})]));
    await whileWorking(api, { adapters: [endless], leaseSeconds: 3 }, async () => {
      const run = await api.execute(id);
      const { signal } = await until(() => context, { what: 'the task is taken' });
      await api.post(`/workflows/executions/${run}/cancel`, {});
      await until(() => signal.aborted, { what: 'the adapter is aborted' });
      expect(signal.reason).toMatchObject({ code: 'run_cancelled' });
      await api.ended(run);
    });
  });

  test('after SIGTERM a worker takes nothing more, finishes what it has, and ends', async ({ api }) => {
    const sdk = await bundleSdk();
    const id = await api.createWorkflow(workflow([outside('one', 'sdk:drain', { n: 1, ms: 1_500 })]));
    const program = path.join(projectRoot(), 'test/support/children/sdk-worker.mjs');
    const child = spawn(process.execPath, [program, sdk.file, api.url, 'sdk:drain', 'drained'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    const lines: string[] = [];
    createInterface(child.stdout).on('line', (line) => lines.push(line));
    try {
      const first = await api.execute(id);
      await until(() => lines.length > 0, { what: 'the task is taken' });
      child.kill('SIGTERM');
      const second = await api.execute(id);
      expect(await ended).toBe(0);
      expect(lines).toEqual([`took ${first} one`, 'ended']);
      await api.ended(first);
      expect(await api.execution(first)).toMatchObject({ tasks: [{ output: { n: 1, by: 'drained' }, attempts: 1 }] });
      await api.post(`/workflows/executions/${second}/cancel`, {});
      await api.ended(second);
    } finally {
      child.kill('SIGKILL');
      await sdk.close();
    }
  });
});
