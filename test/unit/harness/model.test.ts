/** The model of the semantics, held to cases worked out by hand from the contract: each row is a sentence of it. */
import { describe, expect, test } from 'vitest';
import { evaluate, evaluateRounds } from '../../support/model/evaluate.ts';
import type { Behaviour, ExpectedTask, Plot, Step, Work } from '../../support/model/forms.ts';
import { plainPlot, plainStep } from '../../support/model/plain.ts';

const echoes = (n: number, more: Partial<Extract<Work, { kind: 'echo' }>> = {}): Work => ({
  kind: 'echo',
  n,
  behave: 'succeed',
  workMs: 0,
  ...more,
});
const FAILS = echoes(0, { behave: 'fail' });
const BY_HAND = { kind: 'by_hand', n: 4, as: 'completed' } as const;
const ONCE = { status: 'completed', attempts: 1 } as const;
const items = (behaviours: Behaviour[], onItemFailure: 'fail' | 'continue'): Work => ({
  ...{ kind: 'items', items: behaviours, given: 'literal', maxParallel: undefined, onItemFailure },
});
const approval = (decided: 'approved' | 'rejected' | 'by_nobody'): Extract<Work, { kind: 'approval' }> => ({
  ...{ kind: 'approval', decided, onTimeout: 'fail', onReject: 'fail' },
});
const NEVER: Work = { kind: 'wait', ms: 'never' };

function step(id: string, after: string[] = [], more: Partial<Step> = {}): Step {
  return plainStep(id, after, echoes(1), more);
}
const NO = { of: 'parameter', holds: false } as const;
const reads = (work: Work, ...after: string[]): Partial<Step> & { after: string[] } => ({
  naming: 'both',
  work,
  after,
});

/** What is told, the plot, the status of the run, and of each action its status and attempts. */
const STATES: Array<[string, Plot, string, string]> = [
  [
    'an action runs once all of its dependencies have',
    plainPlot(step('a'), step('b', ['a'])),
    'completed',
    'a:completed/1 b:completed/1',
  ],
  [
    'a failure fails the run, and what depends on it never begins',
    plainPlot(step('a', [], { work: FAILS }), step('b', ['a']), step('c', ['b'])),
    'failed',
    'a:failed/1 b:upstream_failed/0 c:upstream_failed/0',
  ],
  [
    'a failure stops nothing beside it',
    plainPlot(step('a', [], { work: FAILS }), step('b')),
    'failed',
    'a:failed/1 b:completed/1',
  ],
  [
    'a failure that is let go fails neither the run nor what depends on it',
    plainPlot(step('a', [], { work: FAILS, onFailure: 'continue' }), step('b', ['a'])),
    'completed',
    'a:failed/1 b:completed/1',
  ],
  [
    'all tries are counted, the first included',
    plainPlot(step('a', [], { work: FAILS, maxAttempts: 2 })),
    'failed',
    'a:failed/2',
  ],
  [
    'what fails once completes at its second try',
    plainPlot(step('a', [], { work: echoes(1, { behave: 'flaky' }), maxAttempts: 2 })),
    'completed',
    'a:completed/2',
  ],
  [
    'what fails once and has one try fails',
    plainPlot(step('a', [], { work: echoes(1, { behave: 'flaky' }) })),
    'failed',
    'a:failed/1',
  ],
  [
    'what takes longer than it may has failed, and is tried again',
    plainPlot(step('a', [], { work: { kind: 'overdue', n: 1 }, maxAttempts: 2 })),
    'failed',
    'a:failed/2',
  ],
  [
    'a condition that is false skips, and what follows is skipped with it',
    plainPlot(step('a', [], { when: NO }), step('b', ['a'])),
    'completed',
    'a:skipped/0 b:skipped/0',
  ],
  [
    'a join runs after whichever branch ran',
    plainPlot(step('a', [], { when: NO }), step('b'), step('c', ['a', 'b'])),
    'completed',
    'a:skipped/0 b:completed/1 c:completed/1',
  ],
  [
    'all_done runs whatever happened',
    plainPlot(step('a', [], { work: FAILS }), step('b', ['a'], { runIf: 'all_done' })),
    'failed',
    'a:failed/1 b:completed/1',
  ],
  [
    'any_succeeded runs when one of them did',
    plainPlot(step('a', [], { work: FAILS }), step('b'), step('c', ['a', 'b'], { runIf: 'any_succeeded' })),
    'failed',
    'a:failed/1 b:completed/1 c:completed/1',
  ],
  [
    'any_succeeded does not hold after failures alone',
    plainPlot(
      step('a', [], { work: FAILS }),
      step('b', [], { when: NO }),
      step('c', ['a', 'b'], { runIf: 'any_succeeded' }),
    ),
    'failed',
    'a:failed/1 b:skipped/0 c:upstream_failed/0',
  ],
  [
    'any_succeeded is skipped when all of them were',
    plainPlot(step('a', [], { when: NO }), step('b', ['a'], { runIf: 'any_succeeded' })),
    'completed',
    'a:skipped/0 b:skipped/0',
  ],
  [
    'run_if is looked at before the condition',
    plainPlot(step('a', [], { work: FAILS }), step('b', ['a'], { when: NO })),
    'failed',
    'a:failed/1 b:upstream_failed/0',
  ],
  [
    'a condition over an output holds from there on',
    plainPlot(step('a', [], { work: echoes(3) }), step('b', ['a'], { when: { of: 'output', step: 'a', atLeast: 3 } })),
    'completed',
    'a:completed/1 b:completed/1',
  ],
  [
    'a condition over an output does not hold below',
    plainPlot(step('a', [], { work: echoes(3) }), step('b', ['a'], { when: { of: 'output', step: 'a', atLeast: 4 } })),
    'completed',
    'a:completed/1 b:skipped/0',
  ],
  [
    'what never ends is cancelled with all that waits for it',
    plainPlot(step('a'), step('b', [], { work: NEVER }), step('c', ['a', 'b'], { runIf: 'all_done' })),
    'cancelled',
    'a:completed/1 b:cancelled/0 c:cancelled/0',
  ],
  [
    'a run that had to be cancelled is cancelled although something had failed',
    plainPlot(step('a', [], { work: FAILS }), step('b', [], { work: NEVER })),
    'cancelled',
    'a:failed/1 b:cancelled/0',
  ],
];

test('a run that nobody but its deadline ends has timed out, and what is open then is cancelled', () => {
  const expected = evaluate({ ...plainPlot(step('a'), step('b', [], { work: NEVER })), endedBy: 'deadline' });
  expect(expected.status).toBe('timed_out');
  expect(expected.tasks['b']).toMatchObject({ status: 'cancelled', output: null, attempts: 0 });
});

describe('the state of a run and of its actions', () => {
  test.each(STATES)('%s', (_, given, status, tasks) => {
    const expected = evaluate(given);
    const shown = Object.entries(expected.tasks).map(([id, task]) => `${id}:${task.status}/${task.attempts}`);
    expect({ status: expected.status, tasks: shown.join(' ') }).toEqual({ status, tasks });
  });
});

/** What is told, the plot, and the output of the run. */
const OUTPUTS: Array<[string, Plot, unknown]> = [
  [
    'the output of a run is that of its last actions',
    plainPlot(step('a'), step('b', ['a']), step('c', ['a'])),
    { b: { n: 1, from: [] }, c: { n: 1, from: [] } },
  ],
  [
    'a template gives the number of a dependency',
    plainPlot(step('a', [], { work: echoes(7) }), step('b', [], reads(echoes(1), 'a'))),
    { b: { n: 1, from: [7] } },
  ],
  [
    'a template over what was skipped, or failed and was let go, gives null',
    plainPlot(
      step('a', [], { when: NO }),
      step('b', [], { work: FAILS, onFailure: 'continue' }),
      step('c'),
      step('d', [], reads({ kind: 'compute', n: 2 }, 'a', 'b', 'c')),
    ),
    { d: { n: 2, from: [null, null, 1] } },
  ],
  ['what was skipped at the end is null', plainPlot(step('a', [], { when: NO })), { a: null }],
  ['a failed run has none', plainPlot(step('a', [], { work: FAILS }), step('b')), null],
  [
    'an answer of a service has its number in the body',
    {
      steps: [step('a', [], { work: { kind: 'call', n: 5, behave: 'succeed', workMs: 0 } }), step('b', ['a'])],
      output: { of: 'a' },
      endedBy: 'cancellation',
      paused: false,
      limited: false,
      deduped: undefined,
      rounds: 1,
    },
    { picked: 5 },
  ],
];

describe('outputs', () => {
  test.each(OUTPUTS)('%s', (_, given, output) => {
    expect(evaluate(given).output).toEqual(output);
  });
});

test('it is known how many tasks end before somebody has to end the others', () => {
  const given = plainPlot(step('a'), step('b', [], { when: NO }), step('c', [], { work: NEVER }), step('d', ['c']));
  expect(evaluate(given).endByThemselves).toBe(2);
});

test('a second run takes what the first one kept: completed outputs of actions with a cache, and of no others', () => {
  const given = plainPlot(
    step('a', [], { cached: true, maxAttempts: 2, work: echoes(3, { behave: 'flaky' }) }),
    step('b', [], { cached: true, work: FAILS }),
    step('c'),
  );
  const [first, second] = evaluateRounds({ ...given, rounds: 2 });
  expect(first?.tasks['a']).toMatchObject({
    status: 'completed',
    output: { n: 3, from: [] },
    attempts: 2,
    cached: false,
  });
  expect(second?.tasks).toMatchObject({
    a: { status: 'completed', output: { n: 3, from: [] }, attempts: 1, cached: true },
    b: { status: 'failed', output: null, attempts: 1, cached: false },
    c: { status: 'completed', output: { n: 1, from: [] }, attempts: 1, cached: false },
  });
});

test('what has begun is known, so that nothing is done from outside about what never begins', () => {
  const given = plainPlot(
    step('a', [], { work: BY_HAND }),
    step('b', [], { work: BY_HAND, when: NO }),
    step('c', [], { work: NEVER }),
  );
  expect(evaluate(given).begun).toEqual(new Set(['a', 'c']));
});

/** What is told, the work of the only action, and what must become of it. */
const WORKS: Array<[string, Work, Partial<ExpectedTask>]> = [
  [
    'a fan-out gives its outputs in the order of the items, each tried on its own',
    items(['succeed', 'flaky'], 'fail'),
    {
      status: 'completed',
      output: [
        { n: 0, at: 0 },
        { n: 1, at: 1 },
      ],
      attempts: 1,
      parts: [
        { status: 'completed', attempts: 1 },
        { status: 'completed', attempts: 2 },
      ],
    },
  ],
  ['a fan-out over nothing gives nothing', items([], 'fail'), { status: 'completed', output: [], parts: [] }],
  [
    'an item that fails fails the fan-out',
    items(['succeed', 'fail'], 'fail'),
    { status: 'failed', attempts: 1, parts: undefined },
  ],
  [
    'an item that is let go is null in its place',
    items(['fail', 'succeed'], 'continue'),
    {
      status: 'completed',
      output: [null, { n: 1, at: 1 }],
      parts: [
        { status: 'failed', attempts: 2 },
        { status: 'completed', attempts: 1 },
      ],
    },
  ],
  [
    'a loop ends as soon as its condition holds',
    { kind: 'loop', until: 2, max: 4 },
    { status: 'completed', output: { n: 2 }, parts: [ONCE, ONCE] },
  ],
  [
    'a loop whose condition never holds fails after its last iteration',
    { kind: 'loop', until: 4, max: 2 },
    { status: 'failed', attempts: 1, parts: [ONCE, ONCE] },
  ],
  [
    'a worker of somebody else is tried as any other',
    { kind: 'external', n: 3, behave: 'flaky' },
    { status: 'completed', output: { n: 3, from: [] }, attempts: 2 },
  ],
  [
    'a message that came is the output, early or late',
    { kind: 'signal', n: 3, comes: 'early', onTimeout: 'fail' },
    { status: 'completed', output: { n: 3 }, attempts: 1 },
  ],
  [
    'a message that never comes fails',
    { kind: 'signal', n: 3, comes: 'never', onTimeout: 'fail' },
    { status: 'failed', attempts: 1 },
  ],
  [
    'a message that never comes may be let go',
    { kind: 'signal', n: 3, comes: 'never', onTimeout: 'continue' },
    { status: 'completed', output: null },
  ],
  [
    'an approval says who',
    approval('approved'),
    { status: 'completed', output: { approved: true, by: 'somebody', comment: 'as the plot says' }, attempts: 1 },
  ],
  ['a rejection fails at once', approval('rejected'), { status: 'failed', attempts: 1 }],
  [
    'a rejection may be let go',
    { ...approval('rejected'), onReject: 'continue' },
    { status: 'completed', output: { approved: false, by: 'somebody', comment: 'as the plot says' } },
  ],
  [
    'a deadline decides as it is told: approve',
    { ...approval('by_nobody'), onTimeout: 'approve' },
    { status: 'completed', output: { approved: true, by: null, comment: 'nobody decided before the deadline' } },
  ],
  [
    'a deadline decides as it is told: fail, whatever a rejection would do',
    { ...approval('by_nobody'), onReject: 'continue' },
    { status: 'failed' },
  ],
  [
    'a child gives its status and output',
    { kind: 'child', plot: { ...plainPlot(step('c', [], { work: echoes(5) })), output: { of: 'c' } }, alone: false },
    { status: 'completed', output: { status: 'completed', output: { picked: 5 } }, attempts: 1 },
  ],
  [
    'a child that nobody waits for gives nothing, and whatever becomes of it is its own',
    { kind: 'child', plot: plainPlot(step('c', [], { work: FAILS })), alone: true },
    { status: 'completed', output: { status: 'pending', output: null }, attempts: 1 },
  ],
  ['an escalation that nobody heeds fails', { ...approval('by_nobody'), onTimeout: 'escalate' }, { status: 'failed' }],
  [
    'a child that fails is begun anew as often as the action is tried',
    { kind: 'child', plot: plainPlot(step('c', [], { work: FAILS })), alone: false },
    { status: 'failed', output: null, attempts: 2 },
  ],
];

describe('work of every kind', () => {
  test.each(WORKS)('%s', (_, work, expected) => {
    expect(evaluate(plainPlot(step('a', [], { work, maxAttempts: 2 }))).tasks['a']).toMatchObject(expected);
  });

  test('a child whose action is tried twice is two runs, of which the model tells everything', () => {
    const inner = plainPlot(step('c', [], { work: FAILS }), step('d', ['c']));
    const { children } =
      evaluate(plainPlot(step('a', [], { work: { kind: 'child', plot: inner, alone: false }, maxAttempts: 2 }))).tasks[
        'a'
      ] ?? {};
    expect(children).toEqual([evaluate(inner), evaluate(inner)]);
    expect(children?.[0]?.tasks['d']?.status).toBe('upstream_failed');
  });
});

describe('compensation', () => {
  const undoable = (id: string, after: string[] = [], more: Partial<Step> = {}) =>
    step(id, after, { undone: 'succeed', work: echoes(6), ...more });

  test('what completed is undone when the run fails, and what did not is not', () => {
    const { status, tasks } = evaluate(
      plainPlot(undoable('a'), undoable('b', ['a'], { work: FAILS }), undoable('c', ['b'])),
    );
    expect(status).toBe('compensated');
    expect(tasks['a']?.compensation).toEqual({ status: 'completed', output: { undoes: 6 }, attempts: 1 });
    expect([tasks['b']?.compensation, tasks['c']?.compensation]).toEqual([undefined, undefined]);
  });

  test('what took too long may have happened, and is undone without its output; so is a loop that came to no end', () => {
    const overdue = undoable('a', [], { work: { kind: 'overdue', n: 1 } });
    const endless = undoable('b', [], { work: { kind: 'loop', until: 3, max: 2 } });
    for (const undone of [overdue, endless]) {
      const { status, tasks } = evaluate(plainPlot(undone));
      expect(status).toBe('compensated');
      expect(tasks[undone.id]).toMatchObject({
        status: 'failed',
        compensation: { status: 'completed', output: { undoes: null }, attempts: 1 },
      });
    }
  });

  test('an undoing is tried again, and one that fails for good is said', () => {
    const fails = step('z', [], { work: FAILS });
    const { status, tasks } = evaluate(
      plainPlot(undoable('a', [], { undone: 'fail' }), undoable('b', [], { undone: 'flaky' }), fails),
    );
    expect(status).toBe('compensation_failed');
    expect(tasks['a']?.compensation).toEqual({ status: 'failed', output: null, attempts: 2 });
    expect(tasks['b']?.compensation).toEqual({ status: 'completed', output: { undoes: 6 }, attempts: 2 });
  });

  test('a run that is broken off is undone too, one that completes or has nothing to undo is not', () => {
    expect(evaluate(plainPlot(undoable('a'), step('b', [], { work: NEVER }))).status).toBe('compensated');
    expect(evaluate(plainPlot(undoable('a'))).tasks['a']?.compensation).toBeUndefined();
    expect(evaluate(plainPlot(undoable('a', [], { work: FAILS }))).status).toBe('failed');
  });
});
