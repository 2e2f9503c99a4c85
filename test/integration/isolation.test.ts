/** Isolated adapters in real child processes, without stores: the context is the same, and what breaks breaks alone. */
import { test as base, expect } from 'vitest';
import { bareEnvironment } from '../../src/config/config.ts';
import { createEgress } from '../../src/egress/egress.ts';
import { CLOSED_REPORTS } from '../../src/engine/deliver/task-reports.ts';
import type { ExecutionCall, ExecutionResult } from '../../src/engine/ports/executor.ts';
import type { RunRow } from '../../src/engine/ports/rows.ts';
import { attemptSpanId, traceparentOf } from '../../src/engine/tracing/span-ids.ts';
import { createExpressions } from '../../src/expressions/expressions.ts';
import { asConfigured } from '../../src/features/services/registry.ts';
import { createServiceCalls } from '../../src/features/services/service-calls.ts';
import { createServicesOfTasks } from '../../src/features/services/task-services.ts';
import { createCatalogue } from '../../workers/catalogue.ts';
import { createExecutor } from '../../workers/executor.ts';
import { createIsolatedPool } from '../../workers/isolated-pool.ts';
import { adaptersFor } from '../../workers/shipped-adapters.ts';
import { startService } from '../harness/services/service.ts';
import { createTestLog } from '../harness/test-log.ts';
import { until } from '../harness/until.ts';
import { isolatedChildren } from '../support/isolated-children.ts';

const SECRET = 'correct-horse-battery-staple';
const MAX_BLOCK_MS = 1_000;

const run: RunRow = {
  id: 'run-1',
  tenantId: 't',
  userId: 'u',
  of: { workflow_id: 'w', version: 1 },
  epoch: 1,
  gen: 0,
  status: 'running',
  final: false,
  priority: 50,
  parameters: {},
  correlationId: 'correlation-1',
  traceId: '0af7651916cd43dd8448eb211c80319c',
  createdAt: new Date(0),
  deadlineAt: null,
};

const children = () => isolatedChildren((pid) => pid === process.pid);

const test = base
  .extend('service', async ({ onTestFinished: _ }, { onCleanup }) => {
    const service = await startService();
    onCleanup(() => service.close());
    return service;
  })
  .extend('worker', async ({ service }, { onCleanup }) => {
    const log = createTestLog();
    const egress = createEgress({
      policy: 'internal',
      allow: [],
      ownAddresses: [{ host: '127.0.0.1', port: 9 }],
      isTrustedOrigin: () => false,
      log,
    });
    const expressions = createExpressions({ maxResultBytes: 100_000 });
    const pool = createIsolatedPool({
      limit: 2,
      memoryMb: 48,
      environment: bareEnvironment(),
      underTest: true,
      maxBlockMs: MAX_BLOCK_MS,
      log,
    });
    const executor = createExecutor({
      catalogue: createCatalogue(adaptersFor({ underTest: true })),
      egress,
      expressions,
      isolated: pool,
      services: createServicesOfTasks({
        find: async (tenant, name) => asConfigured(name, `${service.url}/of-${tenant}`, undefined),
        calls: createServiceCalls({ now: Date.now, random: Math.random, onChange: () => undefined }),
        takeRateSlot: async (name) => (name === 'busy' ? BUSY_UNTIL : undefined),
        now: () => new Date(),
      }),
      operations: () => () => Promise.reject(new Error('no document is known')),
      engine: () => ({}),
      settings: { ESC_URL: `http://x/${SECRET}` },
      maxOutputBytes: 10_000,
      callSpans: undefined,
      isSampled: () => true,
      now: () => new Date(),
      log,
    });
    let held = 0;
    let resumed = 0;
    const execute = (
      input: ExecutionCall['input'],
      {
        actionType = 'test_fault_isolated',
        signal = new AbortController().signal,
        suspect = false,
        ...more
      }: Partial<ExecutionCall> = {},
    ): Promise<ExecutionResult> =>
      executor.execute({
        actionType,
        input,
        secrets: [],
        signal,
        idempotencyKey: 'run-1.1.a',
        attempt: 1,
        run,
        actionId: 'a',
        priority: 50,
        timeoutMs: 60_000,
        scope: { params: { n: 20 }, run: {}, outputs: {} },
        wakeAt: undefined,
        reports: CLOSED_REPORTS,
        suspect,
        pauseDeadline() {
          held += 1;
          return () => {
            resumed += 1;
          };
        },
        ...more,
      });
    onCleanup(async () => {
      await pool.close();
      await Promise.all([egress.close(), expressions.close()]);
      expect(children()).toEqual([]);
    });
    return { execute, pool, log, holds: () => ({ held, resumed }) };
  });

const BUSY_UNTIL = new Date(4_000_000_000_000);

const succeeded = { result: 'output', output: { idempotencyKey: 'run-1.1.a' } };

test('what a task says of itself there arrives as it was said', async ({ worker }) => {
  const said: unknown[] = [];
  const reports = {
    progress: (percent: number, message?: string) => void said.push([percent, message]),
    heartbeat: () => void said.push('alive'),
    stream: (chunk: unknown) => void said.push({ chunk }),
  };
  expect(await worker.execute({ say: [10, null, 'text', { a: [1] }, 90] }, { reports })).toMatchObject(succeeded);
  expect(said).toEqual([[10, '10 percent'], 'alive', { chunk: 'text' }, { chunk: { a: [1] } }, [90, '90 percent']]);
});

test('the context is the same there: fetch with the headers of the run, services of the tenant, the key', async ({
  worker,
  service,
}) => {
  service.answer(() => ({ status: 201, body: { hello: 'wörld' } }));
  expect(await worker.execute({ call: `${service.url}/x` })).toMatchObject({
    result: 'output',
    output: { status: 201, body: JSON.stringify({ hello: 'wörld' }), idempotencyKey: 'run-1.1.a' },
  });
  expect(service.calls).toMatchObject([
    {
      method: 'POST',
      path: '/x',
      body: JSON.stringify({ known: `${service.url}/of-t` }),
      idempotencyKey: 'run-1.1.a',
      headers: {
        'x-correlation-id': 'correlation-1',
        traceparent: traceparentOf('0af7651916cd43dd8448eb211c80319c', attemptSpanId('run-1', 1, 'a', 1)),
      },
    },
  ]);
  service.answer(() => ({ body: 'x'.repeat(300_000) }));
  expect(await worker.execute({ call: service.url, in_parts: true })).toMatchObject({ output: { bytes: 300_000 } });
  expect(worker.log.lines).toContainEqual(
    expect.objectContaining({
      event: 'test_fault_begins',
      fields: expect.objectContaining({ run_id: 'run-1', task_id: 'a' }),
    }),
  );
});

test('a call waits there for its turn at a service as in the worker', async ({ worker, service }) => {
  const call = { actionType: 'service_call', suspect: true };
  expect(await worker.execute({ service: 'busy' }, call)).toEqual({ result: 'sleep', until: BUSY_UNTIL });
  expect(service.calls).toEqual([]);
  expect(await worker.execute({ service: 'idle' }, call)).toMatchObject({ result: 'output', output: { status: 200 } });
});

test('every shipped adapter can be asked to run there: expressions, sleeping, input that does not fit', async ({
  worker,
}) => {
  expect(await worker.execute({ expression: 'params.n + 1' }, { actionType: 'transform', suspect: true })).toEqual({
    result: 'output',
    output: 21,
  });
  const later = new Date(Date.now() + 60_000);
  expect(await worker.execute({ until: later.toISOString() }, { actionType: 'wait', suspect: true })).toEqual({
    result: 'sleep',
    until: later,
  });
  expect(
    await worker.execute({ seconds: 600 }, { actionType: 'wait', suspect: true, wakeAt: new Date(1_000) }),
  ).toMatchObject({ result: 'output', output: { waited_until: '1970-01-01T00:00:01.000Z' } });
  expect(await worker.execute({ fault: 'nonsense' })).toMatchObject({
    failure: { code: 'input_invalid', retryable: false },
  });
});

test('errors keep what they are: kind, code, delay, and those of the policy and of expressions too', async ({
  worker,
  service,
}) => {
  expect(await worker.execute({ fail: 'retryable' })).toEqual({
    result: 'failure',
    failure: { code: 'upstream_error', message: 'again', retryable: true, retryAfterMs: 1_234, definite: true },
  });
  expect(await worker.execute({ fail: 'non_retryable' })).toMatchObject({
    failure: { code: 'upstream_rejected', message: 'never', retryable: false, definite: true },
  });
  expect(await worker.execute({ call: 'http://127.0.0.1:9/own' })).toMatchObject({
    failure: { code: 'egress_denied', retryable: false },
  });
  service.answer(() => undefined);
  const refused = await worker.execute(
    { expression: 'params.missing.path' },
    { actionType: 'transform', suspect: true },
  );
  expect(refused).toMatchObject({ failure: { code: 'expression_failed', retryable: false } });
});

for (const [what, fault, details] of [
  ['aborts', 'abort', { signal: 'SIGABRT' }],
  ['takes all memory', 'fill_memory', { signal: 'SIGABRT' }],
  ['throws where nobody catches', 'throw_later', { exit_code: 1 }],
  ['rejects where nobody waits', 'reject_later', { exit_code: 1 }],
] as const) {
  test(`an adapter that ${what} fails its attempt at once, and the next one has a new process`, async ({ worker }) => {
    expect(await worker.execute({ fault })).toMatchObject({
      result: 'failure',
      failure: { code: 'worker_crashed', retryable: true, details },
    });
    expect(await worker.execute({ fault }, { suspect: true })).toMatchObject({
      failure: { code: 'worker_crashed', retryable: false, details },
    });
    expect(await worker.execute({})).toMatchObject(succeeded);
  });
}

test('one that never gives the loop back is killed when its signal is aborted; one that heeds it is not', async ({
  worker,
}) => {
  await worker.execute({});
  const [warm] = children();
  const heeding = new AbortController();
  const ended = worker.execute({ wait_for_signal: true }, { signal: heeding.signal });
  await until(() => worker.log.lines.filter(({ event }) => event === 'test_fault_begins').length === 2);
  heeding.abort(new Error('took longer than 1 s'));
  await ended;
  expect(children().map(({ pid }) => pid)).toEqual([warm?.pid]);

  const spinning = new AbortController();
  const killed = worker.execute({ fault: 'spin' }, { signal: spinning.signal });
  await until(() => worker.log.lines.filter(({ event }) => event === 'test_fault_begins').length === 3);
  spinning.abort(new Error('took longer than 1 s'));
  await killed;
  await until(() => children().length === 0);
  expect(await worker.execute({})).toMatchObject(succeeded);
});

test('a suspect may not block for longer than a lock lasts; an adapter that is isolated anyhow may', async ({
  worker,
}) => {
  const suspect = { actionType: 'test_fault', suspect: true };
  expect(await worker.execute({ fault: 'spin' }, suspect)).toMatchObject({
    failure: {
      code: 'worker_crashed',
      retryable: false,
      details: { signal: 'SIGKILL', killed: expect.stringContaining('1 s') },
    },
  });
  expect(await worker.execute({ block_seconds: 0.3 }, suspect)).toMatchObject(succeeded);
  expect(await worker.execute({ block_seconds: 2.5 }, { suspect: true })).toMatchObject(succeeded);
});

test('processes are used again, and those of suspects are not', async ({ worker }) => {
  await worker.execute({});
  const [first] = children();
  for (let n = 0; n < 5; n += 1) expect(await worker.execute({})).toMatchObject(succeeded);
  expect(children().map(({ pid }) => pid)).toEqual([first?.pid]);
  await worker.execute({}, { suspect: true });
  await until(() => children().length === 1);
  expect(children()[0]?.pid).toBe(first?.pid);
});

test('no more run at a time than allowed; the others wait, and so do their deadlines', async ({ worker }) => {
  const all = Array.from({ length: 6 }, () => worker.execute({ deaf_seconds: 0.3 }));
  let most = 0;
  const done = Promise.all(all);
  let over = false;
  void done.then(() => {
    over = true;
  });
  await until(() => {
    most = Math.max(most, children().length);
    return over;
  });
  expect(most).toBe(2);
  for (const result of await done) expect(result).toMatchObject(succeeded);
  expect(worker.holds()).toEqual({ held: 6, resumed: 6 });
});

test('one that waits for its turn leaves when it is aborted', async ({ worker }) => {
  const busy = [worker.execute({ deaf_seconds: 1 }), worker.execute({ deaf_seconds: 1 })];
  const waiting = new AbortController();
  const given = worker.execute({}, { signal: waiting.signal });
  waiting.abort(new Error('the run was cancelled'));
  expect(await given).toMatchObject({ result: 'failure' });
  expect(worker.log.lines.filter(({ event }) => event === 'test_fault_begins').length).toBeLessThanOrEqual(2);
  for (const result of await Promise.all(busy)) expect(result).toMatchObject(succeeded);
});

test('neither the command line nor the environment of a process has a setting', async ({ worker }) => {
  await worker.execute({});
  const [child] = children();
  expect(child?.command).toContain('isolated-child');
  expect(`${child?.command}${child?.environment}`).not.toContain(SECRET);
  expect(child?.environment).not.toMatch(/DATABASE_URL|REDIS_URL|SECRET|API_KEY/);
  expect(JSON.stringify(worker.log.lines)).not.toContain(SECRET);
});

test('an output that cannot be stored or is too large is refused there', async ({ worker, service }) => {
  service.answer(() => ({ body: { long: 'x'.repeat(20_000) } }));
  expect(await worker.execute({ call: service.url })).toMatchObject({
    failure: { code: 'output_too_large', retryable: false },
  });
});
