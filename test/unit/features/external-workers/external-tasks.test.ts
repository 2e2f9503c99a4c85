/** The use cases of workers outside over a store in memory, and what the adapter makes of an attempt. */
import { describe, expect, test } from 'vitest';
import type { TaskLine } from '../../../../src/engine/deliver/task-logs.ts';
import type { ExternalAttempt } from '../../../../src/engine/ports/external-attempt.ts';
import { external } from '../../../../src/features/external-workers/adapter.ts';
import { createExternalLogs, type SaidLine } from '../../../../src/features/external-workers/external-logs.ts';
import { createExternalTasks, externalAttempts } from '../../../../src/features/external-workers/lease-tasks.ts';
import type {
  ExternalTaskStore,
  LeasedTask,
  LoggedAttempt,
  NewExternalAttempt,
  WokenTask,
} from '../../../../src/features/external-workers/ports.ts';
import { createWaitingPolls } from '../../../../src/features/external-workers/waiting-polls.ts';
import { runAdapterIn } from '../../../../workers/execution.ts';
import { createTestLog } from '../../../harness/test-log.ts';
import { adapterContext } from '../../../support/adapter-context.ts';

const CALLER = { tenantId: 't', userId: 'u', correlationId: undefined, traceId: '' };
const REQUEST = { topic: 'x', workerId: 'w', max: 2, leaseSeconds: 30, waitSeconds: 0 };
const AT = new Date(1_000_000);
const WOKEN: WokenTask = { runId: 'run', epoch: 2, actionId: 'a' };
const ATTEMPT = { runId: 'run', epoch: 2, actionId: 'a', attempt: 3, since: new Date(0), now: AT };
const leased = (n: number): LeasedTask => ({
  taskId: `task-${n}`,
  leaseToken: `token-${n}`,
  runId: 'run',
  actionId: 'a',
  attempt: 1,
  topic: 'x',
  input: n,
  deadline: AT,
  leaseUntil: AT,
});

function begin(store: Partial<ExternalTaskStore> = {}) {
  const written: Array<[string, LoggedAttempt, readonly SaidLine[]]> = [];
  const promoted: string[] = [];
  const passed: string[] = [];
  const log = createTestLog();
  const tasks = createExternalTasks({
    tasks: {
      takeBack: async () => [],
      lease: async () => ({ leased: [], closed: 0 }),
      giveBack: async () => undefined,
      extend: async () => ({ leaseUntil: AT, deadline: AT, of: ATTEMPT }),
      answer: async () => ({ ...WOKEN, of: ATTEMPT }),
      list: async () => ({ items: [], total: 0, topics: [] }),
      ...store,
    },
    polls: createWaitingPolls(),
    queue: {
      promote: async (jobs) => {
        passed.push('promote');
        promoted.push(...jobs.map(({ queue, jobId }) => `${queue} ${jobId}`));
      },
    },
    logs: async (...call) => void written.push(call),
    failpoint: (name) => void passed.push(name),
    log,
  });
  return { tasks, written, promoted, passed, log };
}

describe('a poll', () => {
  const never = new AbortController().signal;

  test('leases again as long as it met what nobody wants, and no more than it may', async () => {
    const answers = [
      { leased: [leased(1)], closed: 1 },
      { leased: [], closed: 1 },
      { leased: [leased(2)], closed: 0 },
    ];
    const asked: number[] = [];
    const { tasks } = begin({
      lease: async ({ max }) => {
        asked.push(max);
        return answers.shift() ?? { leased: [], closed: 0 };
      },
    });
    expect(await tasks.poll(CALLER, REQUEST, never)).toEqual([leased(1), leased(2)]);
    expect(asked).toEqual([2, 1, 1]);
  });

  test('gives back what was leased for a client that went away meanwhile, and leases nothing for one that is gone', async () => {
    const client = new AbortController();
    const given: unknown[] = [];
    let leases = 0;
    const { tasks } = begin({
      async lease() {
        leases += 1;
        client.abort();
        return { leased: [leased(1)], closed: 0 };
      },
      giveBack: async (tenantId, back) => void given.push(tenantId, back),
    });
    expect(await tasks.poll(CALLER, REQUEST, client.signal)).toEqual([]);
    expect(given).toEqual(['t', [leased(1)]]);
    expect(await tasks.poll(CALLER, REQUEST, client.signal)).toEqual([]);
    expect(leases).toBe(1);
  });

  test('wakes the tasks that were leased too often', async () => {
    const { tasks, promoted } = begin({ takeBack: async () => [WOKEN] });
    expect(await tasks.poll(CALLER, REQUEST, never)).toEqual([]);
    expect(promoted).toEqual(['external run.2.a']);
  });
});

describe('what a worker outside logs', () => {
  const logs: SaidLine[] = [{ level: 'info', message: 'one' }];
  const lease = { leaseToken: 'token', logs };

  test('is written with the heartbeat or answer that brought it, and once', async () => {
    const { tasks, written } = begin();
    await tasks.heartbeat(CALLER, 'task', { ...lease, progress: undefined, extendSeconds: undefined });
    await tasks.complete(CALLER, 'task', { ...lease, output: 1 });
    await tasks.fail(CALLER, 'task', { ...lease, code: undefined, message: 'no', retryable: true });
    expect(written).toEqual([1, 2, 3].map(() => ['t', ATTEMPT, logs]));
    const again = begin({ answer: async () => ({ ...WOKEN, of: undefined }) });
    await again.tasks.complete(CALLER, 'task', { ...lease, output: 1 });
    expect(again.written).toEqual([]);
  });

  test.each(['unknown', 'lost', 'ended'] as const)('is not written under a lease that is %s', async (why) => {
    const { tasks, written } = begin({ answer: async () => why, extend: async () => why });
    const beat = { ...lease, progress: undefined, extendSeconds: undefined };
    await expect(tasks.heartbeat(CALLER, 'task', beat)).rejects.toThrow();
    await expect(tasks.complete(CALLER, 'task', { ...lease, output: 1 })).rejects.toThrow();
    await expect(
      tasks.fail(CALLER, 'task', { ...lease, code: undefined, message: 'no', retryable: true }),
    ).rejects.toThrow();
    expect(written).toEqual([]);
  });

  test('is masked, cut, and within the time of its attempt', async () => {
    const stored: TaskLine[] = [];
    const write = createExternalLogs({
      store: { write: async (lines) => void stored.push(...lines) },
      mask: (text) => text.replaceAll('hunter2', '[masked]'),
      log: createTestLog(),
    });
    await write('t', ATTEMPT, [
      { level: 'info', message: 'with hunter2', data: { at: 'https://u:pw@x.test/', password: 'p' } },
      { level: 'warn', message: 'x'.repeat(5_000), at: new Date(-5) },
      { level: 'debug', message: 'in between', at: new Date(500_000) },
      { level: 'error', message: 'to come', at: new Date(9_000_000) },
    ]);
    expect(stored.map(({ atMs }) => atMs)).toEqual([1_000_000, 0, 500_000, 1_000_000]);
    expect(stored.map(({ message }) => message.length)).toEqual([13, 4_000, 10, 7]);
    expect(stored[0]).toMatchObject({ tenantId: 't', runId: 'run', actionId: 'a', epoch: 2, attempt: 3 });
    expect(stored[0]?.message).toBe('with [masked]');
    expect(stored[0]?.fields).not.toMatch(/pw|"p"/);
  });

  test('is lost, and not the answer, when the database does not take it', async () => {
    const log = createTestLog();
    const store = { write: () => Promise.reject(new Error('away')) };
    await createExternalLogs({ store, mask: (text) => text, log })('t', ATTEMPT, logs);
    expect(log.lines.map(({ event }) => event)).toEqual(['task_logs_not_written']);
  });
});

describe('an answer', () => {
  const lease = { leaseToken: 'token' };

  test('is stored, then wakes the task', async () => {
    const stored: unknown[] = [];
    const { tasks, promoted, passed } = begin({
      answer: async ({ outcome, ...rest }) => {
        stored.push(rest, outcome);
        return { ...WOKEN, of: ATTEMPT };
      },
    });
    expect(await tasks.complete(CALLER, 'task', { ...lease, output: { a: [1] } })).toMatchObject(WOKEN);
    await tasks.fail(CALLER, 'task', { ...lease, code: undefined, message: 'no', retryable: false });
    const given = { tenantId: 't', taskId: 'task', leaseToken: 'token' };
    expect(stored).toEqual([
      given,
      { status: 'completed', output: '{"a":[1]}' },
      given,
      { status: 'failed', error: { code: 'adapter_failed', message: 'no', retryable: false } },
    ]);
    expect(passed.slice(0, 2)).toEqual(['external.afterStore', 'promote']);
    expect(promoted).toEqual(['external run.2.a', 'external run.2.a']);
  });

  test.each([
    ['unknown', 'not_found'],
    ['lost', 'lease_lost'],
    ['ended', 'run_cancelled'],
  ] as const)('under a lease that is %s is refused with %s, and wakes nobody', async (why, code) => {
    const { tasks, promoted } = begin({ answer: async () => why, extend: async () => why });
    await expect(tasks.complete(CALLER, 'task', { ...lease, output: 1 })).rejects.toMatchObject({ code });
    await expect(
      tasks.fail(CALLER, 'task', { ...lease, code: 'c', message: 'no', retryable: true }),
    ).rejects.toMatchObject({ code });
    const beat = { ...lease, progress: undefined, extendSeconds: undefined };
    await expect(tasks.heartbeat(CALLER, 'task', beat)).rejects.toMatchObject({ code });
    expect(promoted).toEqual([]);
  });
});

describe('the adapter', () => {
  async function deliver(attempt: ExternalAttempt, input: unknown = { topic: 'x', input: { n: 1 } }) {
    const opened: NewExternalAttempt[] = [];
    const open = async (made: NewExternalAttempt) => {
      opened.push(made);
      return attempt;
    };
    const engine = externalAttempts({ open }, 100);
    const run = { id: 'run', epoch: 2 };
    const call = { run, actionId: 'a', attempt: 3, priority: 7, timeoutMs: 5_000 } as Parameters<typeof engine>[0]; // All that it reads.
    const { context, close } = adapterContext();
    try {
      return {
        result: await runAdapterIn(external, input, { ...context, engine: { external: engine(call) } }),
        opened,
      };
    } finally {
      await close();
    }
  }

  test('makes the attempt known, and waits until its deadline', async () => {
    const { result, opened } = await deliver({ status: 'open', deadline: AT });
    expect(result).toEqual({ result: 'park', until: AT });
    expect(opened).toEqual([
      {
        runId: 'run',
        epoch: 2,
        actionId: 'a',
        attempt: 3,
        topic: 'x',
        input: '{"n":1}',
        priority: 7,
        timeoutMs: 5_000,
      },
    ]);
  });

  test('ends as the worker outside says', async () => {
    const failed = { status: 'failed', code: 'broken', message: 'no' } as const;
    const results = await Promise.all(
      [
        { status: 'completed', output: null } as const,
        { ...failed, retryable: true },
        { ...failed, retryable: false },
        { status: 'timed_out' } as const,
        { status: 'closed' } as const,
      ].map(async (attempt) => (await deliver(attempt)).result),
    );
    expect(results).toMatchObject([
      { result: 'output', output: null },
      { result: 'failure', failure: { code: 'broken', message: 'no', retryable: true } },
      { result: 'failure', failure: { code: 'broken', retryable: false } },
      { result: 'failure', failure: { code: 'timeout', retryable: true } },
      { result: 'park', until: undefined },
    ]);
  });

  test('without an input it is null; one that is too large, and a place without the engine, are failures', async () => {
    expect((await deliver({ status: 'closed' }, { topic: 'x' })).opened).toMatchObject([{ input: 'null' }]);
    const large = await deliver({ status: 'closed' }, { topic: 'x', input: 'x'.repeat(200) });
    expect(large).toMatchObject({ opened: [], result: { failure: { code: 'input_invalid', retryable: false } } });
    const { context, close } = adapterContext();
    expect(await runAdapterIn(external, { topic: 'x' }, context)).toMatchObject({ failure: { retryable: false } });
    await close();
  });
});
