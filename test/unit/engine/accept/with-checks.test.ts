/** Pure code asks about texts, and what it asks is answered elsewhere. */
import { expect, test } from 'vitest';
import { normaliseDefinition } from '../../../../src/domain/definition/normalise.ts';
import { OrchestratorError } from '../../../../src/domain/errors.ts';
import {
  MAX_DEFINITION_EXPRESSIONS,
  MAX_DEFINITION_PATTERNS,
  type Question,
} from '../../../../src/domain/texts/checks.ts';
import { type TextChecker, withChecks } from '../../../../src/engine/accept/with-checks.ts';
import { checks, texts } from '../../../support/checks.ts';
import { catalogue, refusalOf } from '../../../support/definitions.ts';

function counting(): TextChecker & { rounds: Question[][] } {
  const rounds: Question[][] = [];
  return {
    rounds,
    answer(tenantId, questions) {
      rounds.push([...questions]);
      return texts.answer(tenantId, questions);
    },
  };
}

const actions = [
  { action_id: 'a', action_type: 'test_task', config: {} },
  { action_id: 'b', action_type: 'test_task', config: {}, when: 'a.ok == params.p' },
  { action_id: 'c', action_type: 'transform', config: { expression: 'b.n + a.n' } },
  { action_id: 'd', action_type: 'test_task', config: {}, when: 'a.ok == params.p' },
];
const parameters = [{ name: 'p', type: 'string', pattern: '^[a-z]+$', default: 'abc' }];

test('a definition comes out as it does when everything is answered at once, and nothing is asked twice', async () => {
  const checker = counting();
  const body = { name: 'w', parameters, actions };
  const made = await withChecks(checker, 'acme', (asked) => normaliseDefinition(body, { ...catalogue, checks: asked }));
  expect(made).toEqual(normaliseDefinition(body, { ...catalogue, checks }));
  const asked = checker.rounds.flat().map((question) => JSON.stringify(question));
  expect(new Set(asked).size).toBe(asked.length);
  expect(checker.rounds).toHaveLength(1);
});

test('a definition with faults is rejected with the same faults', async () => {
  const body = {
    name: 'w',
    parameters: [
      { ...parameters[0], default: 'ABC' },
      { name: 'q', type: 'string', pattern: '[' },
    ],
    actions: [...actions, { action_id: 'e', action_type: 'test_task', config: {}, when: 'a.ok and b.ok' }],
  };
  const expected = refusalOf(() => normaliseDefinition(body, { ...catalogue, checks }));
  const work = withChecks(counting(), 'acme', (asked) => normaliseDefinition(body, { ...catalogue, checks: asked }));
  await expect(work).rejects.toMatchObject({ code: expected.code, errors: expected.errors });
  expect(expected.errors.map(({ path }) => path)).toEqual([
    'parameters.0.default',
    'parameters.1.pattern',
    'actions.4.when',
  ]);
  expect(expected.errors[2]?.message).toContain('write a.ok && b.ok');
});

test('what asks nothing is not waited for, and a failure to answer is passed on', async () => {
  const busy: TextChecker = { answer: () => Promise.reject(new OrchestratorError('expressions_busy', 'later')) };
  await expect(withChecks(busy, 'acme', () => 7)).resolves.toBe(7);
  const work = withChecks(busy, 'acme', (asked) => asked.expression('a').names);
  await expect(work).rejects.toMatchObject({ code: 'expressions_busy' });
});

test('the expressions of a definition have a limit together, and so have the patterns of its parameters', () => {
  const long = (n: number) => `a.ok == "${String(n).padStart(5, '0')}${'x'.repeat(1_900)}"`;
  const many = Math.ceil(MAX_DEFINITION_EXPRESSIONS / long(0).length);
  const [first] = actions;
  const conditions = (count: number) =>
    Array.from({ length: count }, (_, n) => ({ ...first, action_id: `n${n}`, when: long(n) }));
  const normalise = (body: object) => normaliseDefinition({ name: 'w', ...body }, { ...catalogue, checks });
  normalise({ actions: [first, ...conditions(many - 1)] });
  const tooMuch = refusalOf(() => normalise({ actions: [first, ...conditions(many)] }));
  expect(tooMuch.errors).toEqual([
    { path: `actions.${many}.when`, message: expect.stringContaining('more than 200000 characters together') },
  ]);
  // What stands there twice is read once.
  normalise({ actions: [first, ...conditions(many).map((action) => ({ ...action, when: long(0) }))] });

  const patterns = Array.from({ length: MAX_DEFINITION_PATTERNS + 1 }, (_, n) => ({
    name: `p${n}`,
    type: 'string',
    pattern: `^a{${n + 1}}$`,
  }));
  normalise({ parameters: patterns.slice(1), actions: [first] });
  const oneMore = refusalOf(() => normalise({ parameters: patterns, actions: [first] }));
  expect(oneMore.errors).toEqual([
    { path: `parameters.${MAX_DEFINITION_PATTERNS}.pattern`, message: expect.stringContaining('at most 100') },
  ]);
});
