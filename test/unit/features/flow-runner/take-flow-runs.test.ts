import { expect, test } from 'vitest';
import { OrchestratorError } from '../../../../src/domain/errors.ts';
import { createTakeFlowRuns } from '../../../../src/features/flow-runner/messages/take-flow-runs.ts';
import type { Poison } from '../../../../src/features/flow-runner/poison/ports.ts';
import type { TakeFlowRun } from '../../../../src/features/flow-runner/ports.ts';
import type { IncomingMessage } from '../../../../src/features/flow-runner/transport/ports.ts';

const REQUEST = { flow_id: 'f', tenant_id: 'default' };
const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

function message(offset: number, value: object | string): IncomingMessage {
  return {
    ...{ topic: 'flow_runs', partition: 0, offset: String(offset), key: null, headers: {}, timestamp: new Date(0) },
    value: Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
  };
}

const messages = (...runIds: string[]) => runIds.map((run_id, offset) => message(offset, { ...REQUEST, run_id }));

function handlerOf(takeFlowRun: TakeFlowRun, more: { mayStart?: (tenantId: string) => Promise<boolean> } = {}) {
  const poison: Poison[] = [];
  const results: string[] = [];
  const handle = createTakeFlowRuns({
    takeFlowRun,
    poison: async (list) => {
      poison.push(...list);
    },
    rules: { maxBytes: 1_000, tenants: ['default'] },
    mayStart: more.mayStart ?? (() => Promise.resolve(true)),
    passes: (error) => error instanceof Error && error.message === 'away',
    metrics: { message: (_topic, result) => results.push(result) },
    failpoint: () => undefined,
    log: SILENT,
  });
  return {
    poison,
    results,
    handle: (list: IncomingMessage[], signal = new AbortController().signal) => handle(list, signal),
  };
}

const taken = (runId: string) => ({ runId, correlationId: runId, repeated: false });
const failing =
  (failures: Record<string, Error>): TakeFlowRun =>
  async (_caller, { run_id: runId }) => {
    const failure = failures[runId];
    if (failure !== undefined) throw failure;
    return taken(runId);
  };

test.each([
  'queue_full',
  'overloaded',
  'too_many_queued',
  'too_many_live',
  'database_not_usable',
  'unavailable',
] as const)('no message after one that is rejected for the moment with %s is done with', async (code) => {
  const { handle, poison } = handlerOf(failing({ b: new OrchestratorError(code, 'not now') }));
  expect(await handle(messages('a', 'b', 'c'))).toBe(1);
  expect(poison).toEqual([]);
});

test('a store that is away and a tenant with too many requests keep the partition where it is', async () => {
  const away = handlerOf(failing({ a: new Error('away') }));
  for (let times = 0; times < 30; times += 1) expect(await away.handle(messages('a', 'b'))).toBe(0);
  expect(away.poison).toEqual([]);
  let asked = 0;
  const limited = handlerOf(failing({}), {
    mayStart: async () => {
      asked += 1;
      return false;
    },
  });
  expect(await limited.handle(messages('a', 'b'))).toBe(0);
  // A batch is one request of its tenant.
  expect(asked).toBe(1);
});

test.each([
  ['workflow_paused', 'invalid_message'],
  ['concurrency_limit', 'invalid_message'],
  ['duplicate_run', 'invalid_message'],
  ['forbidden', 'invalid_message'],
  ['policy_denied', 'invalid_message'],
  ['definition_invalid', 'invalid_message'],
  ['unknown_flow', 'unknown_flow'],
  ['unknown_handler', 'unknown_handler'],
  ['run_id_conflict', 'run_id_conflict'],
] as const)('what is rejected for good with %s is a dead letter %s, and the next goes on', async (code, expected) => {
  const { handle, poison, results } = handlerOf(failing({ a: new OrchestratorError(code, 'never') }));
  expect(await handle(messages('a', 'b'))).toBe(2);
  expect(poison.map((one) => [one.code, one.error, one.tenantId, one.message.offset])).toEqual([
    [expected, 'never', 'default', '0'],
  ]);
  expect(results.sort()).toEqual(['poison', 'taken']);
});

test('an error that nobody expects is tried again, and its message is a dead letter after ten times', async () => {
  const { handle, poison } = handlerOf(failing({ a: new TypeError('x is not a function') }));
  const done: number[] = [];
  for (let times = 0; times < 10; times += 1) done.push(await handle(messages('a', 'b')));
  expect(done).toEqual([...Array<number>(9).fill(0), 2]);
  expect(poison.map(({ code }) => code)).toEqual(['invalid_message']);
});

test('messages of one run are taken one after the other, those of others at the same time', async () => {
  const order: string[] = [];
  let inHand = 0;
  let most = 0;
  const { handle } = handlerOf(async (_caller, { run_id: runId, input }) => {
    inHand += 1;
    most = Math.max(most, inHand);
    order.push(`${runId}${JSON.stringify(input ?? {})}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
    inHand -= 1;
    return taken(runId);
  });
  const same = [1, 2, 3].map((n) => message(n, { ...REQUEST, run_id: 'a', input: { n } }));
  expect(await handle([...same, ...messages('b', 'c')])).toBe(5);
  expect(order.filter((one) => one.startsWith('a'))).toEqual(['a{"n":1}', 'a{"n":2}', 'a{"n":3}']);
  expect(most).toBe(3);
});

test('what is not started when the partition is taken away is given back', async () => {
  const stopping = new AbortController();
  const { handle } = handlerOf(async (_caller, { run_id: runId }) => {
    stopping.abort();
    return taken(runId);
  });
  const many = messages(...Array.from({ length: 500 }, (_, n) => String(n)));
  const done = await handle(many, stopping.signal);
  expect(done).toBeGreaterThan(0);
  expect(done).toBeLessThan(500);
});

test('dead letters that cannot be stored leave their messages where they are', async () => {
  const handle = createTakeFlowRuns({
    takeFlowRun: failing({}),
    poison: () => Promise.reject(new Error('away')),
    rules: { maxBytes: 1_000, tenants: ['*'] },
    mayStart: () => Promise.resolve(true),
    passes: () => true,
    metrics: { message: () => undefined },
    failpoint: () => undefined,
    log: SILENT,
  });
  await expect(handle([message(0, '{')], new AbortController().signal)).rejects.toThrow('away');
});
