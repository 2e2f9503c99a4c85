/** What the plots of the model are for `testWorkflow`: mocks in place of their actions, and what became of them in its words. */
import type { Mock, TestRun, TestTask } from '../../../sdk/src/testing/shapes.ts';
import { MIX } from './arbitrary.ts';
import { comparable, comparableOutput, withoutFailure } from './definition.ts';
import { COMMENT, SOMEBODY } from './evaluate.ts';
import type { Behaviour, Plot, Step } from './forms.ts';

/** Without what only several runs, or somebody beside the run, could do. */
export const ALONE = { ...MIX, endless: false, control: false, cache: false, limited: false, deduped: false, depth: 0 };
const TOO_LATE = 'nobody decided before the deadline';

interface Echoed {
  duration?: number;
  fail_with?: string;
  fail_attempts?: number;
}

export function mocksOf({ steps }: Plot): Record<string, Mock> {
  const byType: Record<string, Mock> = {
    test_task(input: Echoed, { attempt, sleep }) {
      const { duration = 0, fail_with: message, fail_attempts: fails = Number.POSITIVE_INFINITY } = input;
      sleep(duration * 1_000);
      if (message !== undefined && attempt <= fails) throw new Error(message);
      return input;
    },
    http_request({ json }: { json: { n: number; from: unknown; behave: Behaviour } }, { attempt }) {
      fails(json.behave, attempt, 'upstream_error');
      return { status: 200, headers: {}, body: { n: json.n, from: json.from, given: json } };
    },
    external({ input }: { input: { n: number; from: unknown; behave: Behaviour } }, { attempt }) {
      fails(input.behave, attempt, 'adapter_failed');
      return { n: input.n, from: input.from };
    },
  };
  return { ...byType, ...Object.fromEntries(steps.flatMap((step) => waiting(step))) };
}

function fails(behave: Behaviour, attempt: number, code: string): void {
  if (behave === 'fail' || (behave === 'flaky' && attempt === 1)) throw Object.assign(new Error('no'), { code });
}

function waiting({ id, work }: Step): Array<[string, Mock]> {
  if (work.kind === 'signal') {
    if (work.comes !== 'never') return [[id, { n: work.n }]];
    return [[id, work.onTimeout === 'continue' ? null : failing('signal_timed_out')]];
  }
  if (work.kind !== 'approval') return [];
  const late = { fail: undefined, approve: true, reject: false, escalate: undefined }[work.onTimeout];
  const isLate = work.decided === 'by_nobody';
  const approved = isLate ? late : work.decided === 'approved';
  if (approved === undefined) return [[id, failing('approval_timed_out')]];
  if (!approved && work.onReject === 'fail') return [[id, failing('approval_rejected')]];
  const [by, comment] = isLate ? [null, TOO_LATE] : [SOMEBODY, COMMENT];
  return [[id, { approved, by, comment, at: '2030-01-01T00:00:00.000Z' }]];
}

function failing(code: string): Mock {
  return () => {
    throw Object.assign(new Error(code), { code });
  };
}

/** Parts are undefined where it is not certain which there are. */
interface Real {
  parts: unknown;
}

/** What is known of the real run, in the same words. */
export function visible(
  plot: Plot,
  found: { tasks: Readonly<Record<string, Real>> },
  { status, output, tasks }: TestRun,
): object {
  const shown = Object.entries(tasks).map(([id, task]) => [id, taskOf(plot, id, { task, real: found.tasks[id] })]);
  return { status, output: comparableOutput(plot, output), tasks: Object.fromEntries(shown) };
}

function taskOf(plot: Plot, id: string, { task, real }: { task: TestTask; real: Real | undefined }) {
  const { status, attempts, parts, compensation } = task;
  return {
    status,
    output: comparable(plot, id, task.output),
    attempts,
    cached: false,
    // Which items of a fan-out that is given up were started is left to chance.
    parts:
      real?.parts === undefined ? undefined : parts?.map((part) => ({ status: part.status, attempts: part.attempts })),
    children: undefined,
    compensation:
      compensation === undefined
        ? undefined
        : {
            status: compensation.status,
            output: compensation.output === null ? null : withoutFailure(compensation.output),
            attempts: compensation.attempts,
          },
  };
}
