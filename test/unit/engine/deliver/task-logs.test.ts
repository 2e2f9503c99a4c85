import { expect, test } from 'vitest';
import { fieldsOfCaller, fieldsOfTask, withFields } from '../../../../src/engine/deliver/log-fields.ts';
import {
  createTaskLogs,
  LINES_PER_EXECUTION,
  MAX_FIELDS_BYTES,
  MAX_MESSAGE,
  type TaskLine,
} from '../../../../src/engine/deliver/task-logs.ts';
import { createTenantScope } from '../../../../src/engine/tenant-scope.ts';
import { startedEngine } from '../../../harness/fakes/engine.ts';
import { createTestLog } from '../../../harness/test-log.ts';
import { until } from '../../../harness/until.ts';

const TASK = { tenantId: 't', runId: 'r', actionId: 'a', epoch: 1, attempt: 1 };

function logsInto(reject: () => boolean = () => false) {
  const lines: TaskLine[] = [];
  const dropped = new Map<string, number>();
  const times = [5_000, 4_000, 6_000.4];
  const log = createTestLog();
  const logs = createTaskLogs({
    store: {
      write(written, lost) {
        if (reject()) return Promise.reject(new Error('the database is away'));
        lines.push(...written);
        for (const [runId, count] of lost) dropped.set(runId, (dropped.get(runId) ?? 0) + count);
        return Promise.resolve();
      },
    },
    now: () => times.shift() ?? 7_000,
    mask: (text) => text.replaceAll('installed-secret', '***'),
    log,
  });
  return { logs, lines, dropped, log };
}

test('lines keep their order, and their time never goes back', async () => {
  const { logs, lines } = logsInto();
  const one = logs.open(TASK);
  one.add('info', 'first');
  one.add('warn', 'second');
  one.add('error', 'third');
  await until(() => lines.length === 3);
  expect(lines.map(({ level, message, atMs }) => [level, message, atMs])).toEqual([
    ['info', 'first', 5_000],
    ['warn', 'second', 5_000],
    ['error', 'third', 6_000],
  ]);
  await logs.stop();
});

test('what is secret by name, by value or by its looks is not stored, and errors have words', async () => {
  const { logs, lines } = logsInto();
  logs.open(TASK).add('info', 'with installed-secret to https://u:p4ssw0rd@example.com', {
    api_key: 'k',
    note: 'Bearer abcdefghijklm',
    deep: [{ token: 'installed-secret' }, 'installed-secret'],
    error: new Error('it broke', { cause: new Error('below') }),
    big: 12n,
  });
  await logs.stop();
  expect(lines[0]?.message).toBe('with *** to https://u:***@example.com');
  expect(JSON.parse(lines[0]?.fields ?? '')).toEqual({
    api_key: '***',
    note: 'Bearer ***',
    deep: [{ token: '***' }, '***'],
    error: { name: 'Error', message: 'it broke', cause: { name: 'Error', message: 'below' } },
    big: '12',
  });
});

test('a line is cut, its fields are left out when they are too large or cannot be read', async () => {
  const { logs, lines } = logsInto();
  const one = logs.open(TASK);
  const cycle: { self?: object } = {};
  cycle.self = cycle;
  one.add('info', 'x'.repeat(MAX_MESSAGE + 1), { text: 'y'.repeat(MAX_FIELDS_BYTES) });
  one.add('info', '\u0000', cycle);
  one.add('info', 'none', {});
  await logs.stop();
  expect(lines.map(({ message }) => [message.length, message.at(-1)])).toEqual([
    [MAX_MESSAGE, '…'],
    [1, '\u2400'],
    [4, 'e'],
  ]);
  expect(lines.map(({ fields }) => fields)).toEqual([
    expect.stringContaining('not_kept'),
    expect.stringContaining('not_kept'),
    null,
  ]);
});

test('an execution logs so many lines; the rest is counted, and a line says so at its end', async () => {
  const { logs, lines, dropped } = logsInto();
  const one = logs.open(TASK);
  for (let n = 0; n < LINES_PER_EXECUTION + 7; n += 1) one.add('info', `${n}`);
  one.close();
  one.add('info', 'after its end');
  await logs.stop();
  expect(lines).toHaveLength(LINES_PER_EXECUTION + 1);
  expect(lines.at(-1)).toMatchObject({ level: 'warn', message: expect.stringMatching(/^7 more lines were not kept/) });
  expect([...dropped]).toEqual([['r', 7]]);
});

test('while the database is away lines wait, then are dropped and counted, and nobody waits for them', async () => {
  let away = true;
  const { logs, lines, dropped, log } = logsInto(() => away);
  for (let task = 0; task < 6; task += 1) {
    const one = logs.open({ ...TASK, attempt: task });
    for (let n = 0; n < LINES_PER_EXECUTION; n += 1) one.add('info', `${n}`);
    one.close();
  }
  await until(() => log.lines.some(({ event }) => event === 'task_logs_not_written'));
  away = false;
  await logs.stop();
  expect(lines).toHaveLength(5_001);
  expect(lines.at(-1)).toMatchObject({
    attempt: 5,
    message: expect.stringMatching(/^1000 lines were not kept: too many/),
  });
  expect([...dropped]).toEqual([['r', 1_000]]);
});

test('fields of a task are in every line, what a line says itself wins, and none is made for nothing', () => {
  const log = createTestLog();
  let made = 0;
  const own = withFields({ ...log, debug: () => undefined }, () => {
    made += 1;
    return { run_id: 'r', attempt: 1 };
  });
  expect(made).toBe(0);
  own.info('a');
  own.error('b', { attempt: 2 });
  expect(log.lines).toEqual([
    { level: 'info', event: 'a', fields: { run_id: 'r', attempt: 1 } },
    { level: 'error', event: 'b', fields: { run_id: 'r', attempt: 2 } },
  ]);
});

test('whatever the engine says about a task has its ids', async () => {
  const engine = await startedEngine({ a: [], b: ['a'] });
  // Of several kinds: released too early, rejected, left to whom it belongs.
  await engine.deliverByHand('b');
  const late = engine.take('a');
  engine.behaviours.set('a', async () => {
    await engine.deps.tasks.claim({ runId: 'run', epoch: 1, actionId: 'a', actionType: 'test_task', worker: 'other' });
    return { result: 'failure', failure: { code: 'x', message: 'no', retryable: true } };
  });
  await engine.work(late);
  const trust = { isTrusted: () => false, onLost: () => undefined };
  await engine.deliverByHand('a', { trust, attemptsStarted: 2 });
  const said = engine.log.lines.filter(({ event }) =>
    ['task_not_ready', 'commit_refused', 'outcome_left'].includes(event),
  );
  expect(new Set(said.map(({ event }) => event)).size).toBe(3);
  const { run } = await engine.store.runs.statuses('run');
  if (run === undefined) throw new Error('no run');
  for (const { event, fields } of said) {
    expect(fields, event).toMatchObject(fieldsOfTask(run, event === 'task_not_ready' ? 'b' : 'a', 1));
  }
});

test('a line that is written while a request is served carries the caller and its trace, also behind what is awaited', async () => {
  const lines: object[] = [];
  const collect = (event: string, fields?: object) => void lines.push({ event, ...fields });
  const scope = createTenantScope();
  const log = withFields({ debug: collect, info: collect, warn: collect, error: collect }, () =>
    fieldsOfCaller(scope.caller()),
  );
  const caller = { tenantId: 'acme', userId: 'ada', correlationId: 'order-7', traceId: 'f'.repeat(32) };
  await scope.in(caller, async () => {
    await Promise.resolve();
    log.warn('within', { detail: 1 });
  });
  log.info('outside');
  expect(lines).toEqual([
    {
      event: 'within',
      tenant_id: 'acme',
      user_id: 'ada',
      correlation_id: 'order-7',
      trace_id: 'f'.repeat(32),
      detail: 1,
    },
    { event: 'outside' },
  ]);
});

test('a line that is not written costs nothing: its ids are not even made', () => {
  const lines: string[] = [];
  const keep = (event: string) => void lines.push(event);
  let made = 0;
  const log = withFields(
    { debug: keep, info: keep, warn: keep, error: keep, isEnabled: (level) => level !== 'debug' },
    () => {
      made += 1;
      return {};
    },
  );
  log.debug('not written');
  expect({ made, lines }).toEqual({ made: 0, lines: [] });
  // Also through a log that adds fields of its own.
  withFields(log, () => ({})).debug('nor this');
  log.info('written');
  expect({ made, lines }).toEqual({ made: 1, lines: ['written'] });
});
