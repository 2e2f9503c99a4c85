import { afterAll, describe, expect, test } from 'vitest';
import { OrchestratorError } from '../../../src/domain/errors.ts';
import { checkCel, readCel } from '../../../src/expressions/check-cel.ts';
import { createExpressions } from '../../../src/expressions/expressions.ts';
import type { Json } from '../../../src/schemas/json.ts';

const expressions = createExpressions({ timeoutMs: 250, maxResultBytes: 10_000 });
afterAll(() => expressions.close());

const evaluate = (expression: string, variables: Record<string, Json> = {}): Promise<Json> =>
  expressions.evaluate(expression, variables, { tenantId: 'acme' });
async function failure(work: Promise<unknown>): Promise<OrchestratorError> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof OrchestratorError)) throw new Error(`no failure but ${String(error)}`);
  return error;
}

describe('what an expression is', () => {
  test('an expression that parses and is small enough has no fault', () => {
    expect(checkCel('a.items.filter(i, i.price > 2).map(i, i.id)')).toBeUndefined();
  });

  test.each([
    ['a ==', /not a CEL expression/],
    ['', /not a CEL expression/],
    ["a === 'b'", /not a CEL expression/],
    [`"${'a'.repeat(2_000)}"`, /longer than 2000 characters/],
    [`a ${' '.repeat(2_000)}`, /longer than 2000 characters/],
    [`[${'[].all(x, x),'.repeat(150)}1]`, /more than 1000 parts/],
    [`${'['.repeat(40)}1${']'.repeat(40)}`, /nested deeper than 32/],
    [`${'('.repeat(900)}1${')'.repeat(900)}`, /nested deeper than 32/],
    [`${'[1, '.repeat(30)}`, /a bracket is not closed/],
    ['(a]', /a bracket is not closed/],
  ])('%.40s is refused with a reason', (expression, reason) => {
    expect(checkCel(expression)).toMatch(reason);
  });

  test('names are the variables it reads, not those that its macros make', () => {
    const namesIn = (expression: string) => readCel(expression).names;
    expect(namesIn('fetch.items.filter(i, i.n > params.least).all(j, j == outputs["x"] || y)').toSorted()).toEqual([
      'fetch',
      'outputs',
      'params',
      'y',
    ]);
    expect(namesIn('[1].map(i, i + 1)')).toEqual([]);
    expect(namesIn('i + [1].map(i, i)[0]')).toEqual(['i']);
    expect(namesIn('has(a.b) ? {"k": c} : d')).toEqual(expect.arrayContaining(['a', 'c', 'd']));
  });
});

describe('values', () => {
  test('integral JSON numbers are ints and come back as JSON numbers', async () => {
    await expect(evaluate('a.count + 1', { a: { count: 41 } })).resolves.toBe(42);
    await expect(evaluate('a / 2', { a: 5 })).resolves.toBe(2);
    await expect(evaluate('a[1] + 0.5', { a: [1, 2.25] })).resolves.toBe(2.75);
  });

  test('an int and a double can be calculated with and compared', async () => {
    await expect(evaluate('price * 1.5 + n', { price: 2, n: 1 })).resolves.toBe(4);
    await expect(evaluate('n > 1.5', { n: 2 })).resolves.toBe(true);
  });

  test('lists, maps, null, bytes, times and durations become JSON', async () => {
    await expect(evaluate('{"a": [1, null, {"b": true}], 2: "x"}')).resolves.toEqual({
      a: [1, null, { b: true }],
      '2': 'x',
    });
    await expect(evaluate('b"hi"')).resolves.toBe('aGk=');
    await expect(evaluate('timestamp("2030-01-02T03:04:05.5Z")')).resolves.toBe('2030-01-02T03:04:05.500Z');
    await expect(evaluate('[duration("90s"), duration("-1.25s")]')).resolves.toEqual(['90s', '-1.25s']);
    await expect(evaluate('type(1)')).resolves.toBe('int');
    await expect(evaluate('7u')).resolves.toBe(7);
  });

  test('texts have their functions, and matches takes linear time', async () => {
    await expect(evaluate('s.split(",").join("+").upperAscii()', { s: 'a,b' })).resolves.toBe('A+B');
    await expect(evaluate('s.matches("^(a+)+$")', { s: `${'a'.repeat(5_000)}!` })).resolves.toBe(false);
  });

  test('a part of a list is taken without falling off its end', async () => {
    const parts = ['xs.slice(1, 3)', 'xs.slice(0, 20)', 'xs.slice(2, 1)', 'xs.slice(-1, 1)', 'xs.slice(0, n)'];
    const values = await Promise.all(parts.map((part) => evaluate(part, { xs: [1, 'b', null], n: 2 })));
    expect(values).toEqual([['b', null], [1, 'b', null], [], [1], [1, 'b']]);
  });

  test('keys from outside are data', async () => {
    const odd = JSON.parse('{"__proto__": {"polluted": 1}, "constructor": 2}') as Json;
    await expect(evaluate('a["__proto__"].polluted + a.constructor', { a: odd })).resolves.toBe(3);
    await expect(evaluate('has(a.toString)', { a: {} })).resolves.toBe(false);
    expect((await failure(evaluate('constructor'))).code).toBe('expression_failed');
    expect((await failure(evaluate('__proto__'))).code).toBe('expression_failed');
  });

  test.each([['1.0 / 0.0'], ['9007199254740993'], ['a.missing'], ['nobody'], ['[1][5]'], ['unknown(1)'], ['"a" * 2']])(
    '%s fails with a message and without internals',
    async (expression) => {
      const error = await failure(evaluate(expression, { a: {} }));
      expect(error.code).toBe('expression_failed');
      expect(error.message).toMatch(/^The expression failed: /);
      expect(error.message).not.toMatch(/node_modules|\.js|\n\s+at /);
    },
  );
});

describe('bounds', () => {
  const hostile = `[${Array.from({ length: 30 }, (_, index) => index).join(',')}]`;
  const nested = (depth: number): string => (depth === 0 ? '1' : `${hostile}.map(x${depth}, ${nested(depth - 1)})`);

  test('a hostile nested comprehension is killed within its deadline, and the next evaluation works', async () => {
    await evaluate('1'); // The thread has started.
    const expression = nested(6);
    expect(checkCel(expression)).toBeUndefined();
    const began = performance.now();
    const [error, after] = await Promise.all([failure(evaluate(expression)), evaluate('1 + 1')]);
    expect(error.message).toMatch(/longer than 250 ms/);
    expect(after).toBe(2);
    expect(performance.now() - began).toBeLessThan(30_000);
  });

  test('an expression that eats memory ends, and the next evaluation works', async () => {
    const hungry = `${hostile}.map(a, ${hostile}.map(b, ${hostile}.map(c, ${hostile}.map(d, s + s))))`;
    // Whichever comes first, the end of its memory or of its time.
    expect((await failure(evaluate(hungry, { s: 'x'.repeat(100_000) }))).code).toMatch(/^expression_(failed|timeout)$/);
    await expect(evaluate('"still " + "here"')).resolves.toBe('still here');
  });

  test('a result over the limit fails', async () => {
    expect((await failure(evaluate('[s, s]', { s: 'x'.repeat(6_000) }))).message).toMatch(/larger than 10000 bytes/);
  });

  test('many at once each get their own result', async () => {
    const all = await Promise.all(Array.from({ length: 200 }, (_, n) => evaluate('n * 2', { n })));
    expect(all).toEqual(Array.from({ length: 200 }, (_, n) => n * 2));
  });

  test('an answer that came while our own process was held up counts, however late it is read', async () => {
    await evaluate('1');
    // What follows this is what timers come next to.
    await new Promise((resolve) => setImmediate(resolve));
    const pending = evaluate('1 + 1');
    const until = performance.now() + 1_500;
    while (performance.now() < until);
    await expect(pending).resolves.toBe(2);
  });

  test('closing ends what waits', async () => {
    const own = createExpressions({ maxResultBytes: 100 });
    const pending = failure(own.evaluate('1', {}, { tenantId: 'acme' }));
    await own.close();
    expect((await pending).message).toMatch(/closed/);
    expect((await failure(own.evaluate('1', {}, { tenantId: 'acme' }))).message).toMatch(/closed/);
  });
});
