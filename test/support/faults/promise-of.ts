/** What the model says of a plot, in the words of the checker: under faults some of it may be a little otherwise. */
import type { Foretold } from '../../harness/checker/promises.ts';
import { comparable } from '../model/definition.ts';
import { evaluate, stepOf } from '../model/evaluate.ts';
import type { ExpectedTask, Plot } from '../model/forms.ts';

export function promiseOf(plot: Plot): Foretold {
  const { status, tasks, brokenOff } = evaluate(plot);
  const expected = Object.entries(tasks).map(([id, task]) => {
    const { output } = task;
    return [id, { status: task.status, output, attempts: attemptsOf(plot, id, task) }] as const;
  });
  return {
    expected: { status, brokenOff: brokenOff !== undefined, tasks: Object.fromEntries(expected) },
    comparable: (actionId, output) => comparable(plot, actionId, output),
    childOf(actionId) {
      const { work } = stepOf(plot, actionId);
      return work.kind === 'child' ? { ...promiseOf(work.plot), alone: work.alone } : undefined;
    },
  };
}

/**
 * A service fails once for each key: when nobody records that failure, because its caller is killed, one attempt is enough.
 * Which of several runs finds an output of another is not decided either.
 */
function attemptsOf(plot: Plot, id: string, { attempts }: ExpectedTask): { min: number; max: number } {
  const { work, cached } = stepOf(plot, id);
  const mayBeFewer = (work.kind === 'call' && work.behave === 'flaky') || cached;
  return { min: mayBeFewer ? Math.min(1, attempts) : attempts, max: attempts };
}
