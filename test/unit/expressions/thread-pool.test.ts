/** The turns that tenants have in the threads, and what becomes of work that does not get one. */
import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { OrchestratorError } from '../../../src/domain/errors.ts';
import { createExpressions, type ExpressionOptions, type Expressions } from '../../../src/expressions/expressions.ts';
import { until } from '../../harness/until.ts';

let open: Expressions[] = [];
afterEach(async () => {
  await Promise.all(open.map((one) => one.close()));
  open = [];
});

function started(options: Partial<ExpressionOptions> = {}): Expressions {
  const made = createExpressions({ maxResultBytes: 10_000, timeoutMs: 60_000, waitMs: 60_000, ...options });
  open.push(made);
  return made;
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof OrchestratorError ? error.code : `not refused: ${String(error)}`;
}

const LIST = `[${Array.from({ length: 30 }, (_, index) => index).join(',')}]`;
const nested = (depth: number): string => (depth === 0 ? '1' : `size(${LIST}.map(x${depth}, ${nested(depth - 1)}))`);
/** Some tens of milliseconds of work. */
const SLOW = nested(3);
const ENDLESS = nested(6);

describe('tenants have turns', () => {
  test('a quick evaluation comes next but one, however many slow ones of another tenant wait', async () => {
    const expressions = started({ threads: 1 });
    const ended: string[] = [];
    const slow = Array.from({ length: 60 }, async () => {
      await expressions.evaluate(SLOW, {}, { tenantId: 'noisy' });
      ended.push('slow');
    });
    const quick = expressions.evaluate('1 + 1', {}, { tenantId: 'quiet' }).then(() => void ended.push('quick'));
    await Promise.all([...slow, quick]);
    expect(ended.indexOf('quick')).toBeLessThanOrEqual(2);
  });

  test('each of several tenants has as many turns as another one', async () => {
    const expressions = started({ threads: 1 });
    const ended: string[] = [];
    const work = ['a', 'a', 'a', 'a', 'b', 'b', 'c', 'c'].map((tenantId) =>
      expressions.evaluate('1', {}, { tenantId }).then(() => void ended.push(tenantId)),
    );
    await Promise.all(work);
    expect(ended.join('')).toBe('abcabcaa');
  });

  test('two threads work at the same time, one of them always for somebody else', async () => {
    const expressions = started({ threads: 2 });
    await Promise.all(['a', 'b'].map((tenantId) => expressions.evaluate(SLOW, {}, { tenantId })));
    let ended = false;
    const endless = codeOf(expressions.evaluate(ENDLESS, {}, { tenantId: 'a' })).finally(() => {
      ended = true;
    });
    const next = codeOf(expressions.evaluate('1', {}, { tenantId: 'a' })).finally(() => {
      ended = true;
    });
    await Promise.all(Array.from({ length: 5 }, () => expressions.evaluate('1', {}, { tenantId: 'b' })));
    expect(ended).toBe(false);
    await expressions.close();
    expect([await endless, await next]).toEqual(['expression_failed', 'expression_failed']);
  });

  test('the questions of a large definition let others in between', async () => {
    const expressions = started({ threads: 1 });
    const ended: string[] = [];
    const questions = Array.from(
      { length: 200 },
      (_, n) => ({ about: 'expression', cel: `${n}${' + a'.repeat(30)}` }) as const,
    );
    const all = expressions.answer('noisy', questions).then((answers) => {
      ended.push('definition');
      return answers;
    });
    await Promise.all([all, expressions.evaluate('1', {}, { tenantId: 'quiet' }).then(() => void ended.push('quick'))]);
    expect(ended).toEqual(['quick', 'definition']);
    expect((await all).every((answer) => JSON.stringify(answer) === '{"names":["a"],"fault":null}')).toBe(true);
  });
});

describe('work that does not get its turn', () => {
  test('is sent away when too much of its tenant waits, and only then', async () => {
    const expressions = started({ threads: 1, maxWaiting: 3 });
    const noisy = Array.from({ length: 10 }, () => codeOf(expressions.evaluate(SLOW, {}, { tenantId: 'noisy' })));
    await expect(expressions.evaluate('2', {}, { tenantId: 'quiet' })).resolves.toBe(2);
    const codes = await Promise.all(noisy);
    expect(codes.filter((code) => code === 'expressions_busy')).toHaveLength(7);
  });

  test('is sent away as soon as it is seen that the work of its tenant takes long, but for what keeps the threads busy', async () => {
    const expressions = started({ threads: 1, patienceMs: 100, timeoutMs: 2_000 });
    await expressions.evaluate('1', {}, { tenantId: 'noisy' }); // The thread has loaded.
    const first = codeOf(expressions.evaluate(ENDLESS, {}, { tenantId: 'noisy' }));
    const burst = Array.from({ length: 20 }, () => codeOf(expressions.evaluate('1', {}, { tenantId: 'noisy' })));
    const sentAway: unknown[] = [];
    for (const code of burst) void code.then((of) => sentAway.push(of));
    await until(() => sentAway.length === 18);
    // And what comes then is not even let in; another tenant's has its turn.
    expect(await codeOf(expressions.evaluate('1', {}, { tenantId: 'noisy' }))).toBe('expressions_busy');
    await expect(expressions.evaluate('2', {}, { tenantId: 'quiet' })).resolves.toBe(2);
    expect(await first).toBe('expression_timeout');
    const codes = await Promise.all(burst);
    expect(codes.slice(0, 2)).not.toContain('expressions_busy');
    expect(codes.filter((code) => code === 'expressions_busy')).toHaveLength(18);
  });

  test('may wait in any number when it takes no time', async () => {
    const expressions = started({ threads: 1, patienceMs: 600_000 });
    const many = Array.from({ length: 500 }, (_, n) => expressions.evaluate(`${n}`, {}, { tenantId: 'busy' }));
    await expect(Promise.all(many)).resolves.toHaveLength(500);
  });

  test('is sent away after its time, counted from when it came, and what runs is not', async () => {
    const expressions = started({ threads: 1, waitMs: 100, timeoutMs: 1_500 });
    await expressions.evaluate('1', {}, { tenantId: 'a' }); // The thread has loaded: before that nobody is late.
    const runs = codeOf(expressions.evaluate(ENDLESS, {}, { tenantId: 'a' }));
    const waits = expressions.evaluate('1', {}, { tenantId: 'a' });
    const error: unknown = await waits.catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'expressions_busy', status: 503, retryAfterSeconds: 2 });
    expect(await runs).toBe('expression_timeout');
  });

  test('has waited in vain when the thread that it had to itself died, and the next one is served', async () => {
    const expressions = started({ threads: 1, timeoutMs: 300 });
    await expressions.evaluate('1', {}, { tenantId: 'a' });
    const first = codeOf(expressions.evaluate(ENDLESS, {}, { tenantId: 'a' }));
    await expect(expressions.evaluate('7', {}, { tenantId: 'b' })).resolves.toBe(7);
    expect(await first).toBe('expression_timeout');
  });
});

test('an expression of an older definition, longer than one may be today, is evaluated', async () => {
  const expressions = started();
  const older = `size([${'1, '.repeat(900)}1])${' '.repeat(5_000)} == 901`;
  expect(older.length).toBeGreaterThan(2_000);
  await expect(expressions.evaluate(older, {}, { tenantId: 'a' })).resolves.toBe(true);
  expect(await codeOf(expressions.evaluate(`1${' '.repeat(10_000)}`, {}, { tenantId: 'a' }))).toBe('expression_failed');
});

/** How much each thread of this process yields to others, as Linux has it. */
function niceness(): number[] {
  return readdirSync('/proc/self/task').map((id) => {
    const stat = readFileSync(`/proc/self/task/${id}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
  });
}

test.skipIf(process.platform !== 'linux')(
  'a thread that evaluates yields to all others, and no other thread of the process does',
  async () => {
    const before = niceness().filter((nice) => nice === 10).length;
    await started({ threads: 1 }).evaluate('1', {}, { tenantId: 'a' });
    expect(niceness().filter((nice) => nice === 10)).toHaveLength(before + 1);
  },
);
