/** What it costs to look at an expression, by its length; and that taking the blanks out of one does not change what it says. */
import { parse } from '@bufbuild/cel';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MAX_EXPRESSION_CHARACTERS, parseCel, readCel } from '../../../src/expressions/check-cel.ts';
import { scanCel } from '../../../src/expressions/scan-cel.ts';

/** Of so many characters. */
const FAMILIES: ReadonlyArray<[string, (length: number) => string]> = [
  ['blanks', (length) => `size(a${' '.repeat(length - 7)})`],
  ['blanks between', (length) => `a${`${' '.repeat(8)}? b : c`.repeat((length - 1) / 16)}`],
  ['line ends and comments', (length) => `size(a${'\n//\n'.repeat((length - 7) / 4)})`],
  ['a+', (length) => `${'a+'.repeat((length - 2) / 2)}a`],
  ['a + ', (length) => `${'a + '.repeat((length - 4) / 4)}a`],
  ['[', (length) => '['.repeat(length)],
  ['[]', (length) => '['.repeat(length / 2) + ']'.repeat(length / 2)],
  ['(', (length) => '('.repeat(length)],
  ['{1:', (length) => '{1:'.repeat(length / 3)],
  ['!', (length) => '!'.repeat(length)],
  ['!a', (length) => `${'!'.repeat(length - 1)}a`],
  ['!(', (length) => '!('.repeat(length / 2)],
  ['-', (length) => '-'.repeat(length)],
  ['"', (length) => '"'.repeat(length)],
  ['"""', (length) => `"""${'"x'.repeat((length - 3) / 2)}`],
  ["'", (length) => `'${'\\'.repeat(length - 1)}`],
];
/** How often the text is looked at: what a parser that begins again and again does too often, on whatever machine. */
function looks(work: () => void): number {
  let count = 0;
  const names = ['charCodeAt', 'charAt', 'substring', 'slice'] as const;
  // Not by spies of the runner, which remember every call.
  const originals = names.map((name) => [name, Object.getOwnPropertyDescriptor(String.prototype, name)] as const);
  for (const [name, original] of originals) {
    const whole = original?.value as (this: string, ...given: number[]) => unknown; // A method of every text.
    const counted = function (this: string, ...given: number[]) {
      count += 1;
      return whole.apply(this, given);
    };
    Object.defineProperty(String.prototype, name, { ...original, value: counted });
  }
  try {
    work();
    return count;
  } finally {
    for (const [name, original] of originals) if (original) Object.defineProperty(String.prototype, name, original);
  }
}

describe.each(FAMILIES)('the family %s', (_name, of) => {
  test('costs about eight times as much when it is eight times as long, and not sixty-four times', () => {
    const cost = (length: number) => looks(() => void readCel(of(length)));
    expect(cost(MAX_EXPRESSION_CHARACTERS)).toBeGreaterThan(MAX_EXPRESSION_CHARACTERS / 2);
    expect(cost(MAX_EXPRESSION_CHARACTERS)).toBeLessThan(cost(MAX_EXPRESSION_CHARACTERS / 8) * 10);
  });

  test('is read for its tokens in linear time, however long it is', () => {
    const cost = (length: number) => looks(() => void scanCel(of(length)));
    expect(cost(40_000)).toBeLessThan(cost(2_000) * 20 * 1.2);
  });
});

test('an older expression of ten thousand blanks costs what its tokens cost', () => {
  const padded = `size(a${' '.repeat(9_000)}) == 1${'\n'.repeat(900)}? b : c`;
  const blanksOnce = 3 * padded.length;
  expect(looks(() => void parseCel(padded))).toBeLessThan(
    looks(() => void parseCel('size(a) == 1 ? b : c')) + blanksOnce,
  );
});

describe('an expression without its blanks', () => {
  const token = fc.constantFrom(
    ...['a', 'b1', '_c', 'in', 'true', 'r', 'b', 'rb', 'R', '1', '2.5', '0x1F', '7u', '1e3', '.', ',', '?', ':', '+'],
    ...[
      '-',
      '*',
      '/',
      '%',
      '!',
      '==',
      '<=',
      '&&',
      '||',
      '(',
      ')',
      '[',
      ']',
      '{',
      '}',
      'size(',
      'has(a.b)',
      '.map(x, x)',
    ],
    ...[
      '"x y"',
      "'it  is'",
      '"  "',
      '"a\\"  b"',
      "r'\\'",
      'r"\\  "',
      'b"  "',
      '"""a  "" b"""',
      "'''c\n\n  d'''",
      '`e  f`',
    ],
    ...['"', "'", '"""', '\\', '\n', '//  note\n', '// "\n', '  ', '\t\t', '\r\n', '\f ', '\u00a0', 'é', '😀'],
  );
  const readable = fc.oneof(
    fc.array(token, { maxLength: 14 }).map((tokens) => tokens.join('')),
    fc.array(token, { maxLength: 14 }).map((tokens) => tokens.join('  ')),
    fc
      .array(fc.constantFrom('a', '"x  y"', "r'\\ '", '1', 'b.c', '[ 1,  2 ]', '{ "k" :  v }', '( a )'), {
        minLength: 1,
      })
      .map((operands) => operands.join(' \n+ // plus\n ')),
  );

  function meaning(expression: string): string {
    try {
      const { expr } = parse(expression);
      return JSON.stringify(expr, (_key, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value));
    } catch {
      return 'none';
    }
  }

  test('means the same, or nothing as before', () => {
    let meant = 0;
    fc.assert(
      fc.property(readable, (expression) => {
        const before = meaning(expression);
        if (before !== 'none') meant += 1;
        expect(meaning(scanCel(expression).text)).toBe(before);
      }),
      { numRuns: 3_000 },
    );
    expect(meant).toBeGreaterThan(500);
  });

  test('names at least the variables that it reads', () => {
    fc.assert(
      fc.property(readable, (expression) => {
        const { names } = scanCel(expression);
        for (const name of parseCel(expression).names) expect([...names]).toContain(name);
      }),
      { numRuns: 1_000 },
    );
    const { names } = scanCel('fetch.items.filter(i, i.n > params.least) + .root["x"].y');
    expect([...names].sort()).toEqual(['fetch', 'i', 'params', 'root']);
    expect([...scanCel('1ina').names]).toContain('a');
  });
});
