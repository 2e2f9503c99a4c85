/** A plot as a client writes it down. */
import type { TestAction } from '../test-task.ts';
import { SOMEBODY, stepOf, UNDO_ATTEMPTS } from './evaluate.ts';
import type { Behaviour, Condition, Plot, Step, Work } from './forms.ts';
import { named, numberPath } from './naming.ts';

/** For longer than any test takes. */
const NEVER_SECONDS = 3_600;
const OVERDUE_SECONDS = 0.05;
/** A deadline that nobody keeps. */
const SOON_SECONDS = 0.1;
const LIMIT = 3;
/** The parameter by which a run is the very same as another one. */
const ONCE = 'once';
/** Of everything that workers of somebody else do. */
export const TOPIC = 'plots';

export interface Surroundings {
  /** Of the service that is called. */
  serviceUrl: string;
  /** The ids of the workflows that others begin. */
  workflowIds: ReadonlyMap<Plot, string>;
}

/** What a run is begun with; `key`: nothing else has it. */
export function requestOf({ deduped }: Plot, key: string): object {
  return deduped === undefined ? {} : { parameters: { [ONCE]: key } };
}

export function definitionOf(plot: Plot, surroundings: Surroundings): object {
  return {
    name: 'a plot',
    parameters: [
      ...['yes', 'no'].map((name) => ({ name, type: 'boolean', default: name === 'yes' })),
      ...plot.steps.flatMap(({ id, work }) =>
        work.kind === 'items' ? [{ name: `list_${id}`, type: 'array', default: itemsOf(work) }] : [],
      ),
      ...(plot.deduped === undefined ? [] : [{ name: ONCE, type: 'string', default: '' }]),
    ],
    ...(plot.deduped === undefined
      ? {}
      : { dedupe: { key: `{{${ONCE}}}`, window_seconds: NEVER_SECONDS, policy: plot.deduped } }),
    ...(plot.limited ? { concurrency: { key: 'plots', limit: LIMIT, policy: 'queue' } } : {}),
    ...(plot.endedBy === 'deadline' ? { timeout_seconds: NEVER_SECONDS } : {}),
    actions: plot.steps.map((step) => actionOf(step, plot, surroundings)),
    ...(plot.output === 'of_the_last' ? {} : { output: { picked: `{{${pathTo(plot, plot.output.of)}}}` } }),
  };
}

function actionOf(step: Step, plot: Plot, surroundings: Surroundings): TestAction {
  const inTemplates = named(step, plot);
  const declared = step.naming === 'template' ? step.after.filter((id) => !inTemplates.includes(id)) : [...step.after];
  return {
    action_id: step.id,
    depends_on: declared,
    ...workOf(step, plot, surroundings),
    ...(step.when === undefined ? {} : { when: conditionOf(step.when, plot) }),
    ...(step.work.kind === 'overdue' ? { timeout_seconds: OVERDUE_SECONDS } : {}),
    run_if: step.runIf,
    on_failure: step.onFailure,
    retry: { max_attempts: step.maxAttempts, backoff: 'fixed', initial_delay_seconds: 0.01 },
    ...undoingOf(step, plot),
    ...partsOf(step),
    ...(step.cached ? { cache: { key: 'always', ttl_seconds: NEVER_SECONDS } } : {}),
    ...(step.delayMs === undefined ? {} : { delay_seconds: step.delayMs / 1_000 }),
    ...(step.priority === undefined ? {} : { priority: step.priority }),
  };
}

function workOf(
  step: Step,
  plot: Plot,
  { serviceUrl, workflowIds }: Surroundings,
): Pick<TestAction, 'action_type' | 'config'> {
  const { work } = step;
  const from = named(step, plot).map((id) => `{{${pathTo(plot, id)}}}`);
  switch (work.kind) {
    case 'echo':
      return {
        action_type: 'test_task',
        config: {
          n: work.n,
          from,
          duration: work.workMs / 1_000,
          ...failingAs(work.behave, `${step.id} failed`),
        },
      };
    case 'call': {
      const json = { n: work.n, from, work_ms: work.workMs, behave: work.behave };
      return { action_type: 'http_request', config: { url: `${serviceUrl}/${step.id}`, method: 'POST', json } };
    }
    case 'compute': {
      const reads = named(step, plot).map((id) => `${id} == null ? null : ${pathTo(plot, id)}`);
      return { action_type: 'transform', config: { outputs: { n: `${work.n} + 0`, from: `[${reads.join(', ')}]` } } };
    }
    case 'wait':
      return { action_type: 'wait', config: { seconds: work.ms === 'never' ? NEVER_SECONDS : work.ms / 1_000 } };
    case 'items':
      return {
        action_type: 'test_task',
        config: { n: '{{item.n}}', at: '{{item_index}}', fail_with: 'no', fail_attempts: '{{item.fails}}' },
      };
    case 'loop':
      return { action_type: 'transform', config: { outputs: { n: 'previous == null ? 1 : previous.n + 1' } } };
    case 'external':
      return { action_type: 'external', config: { topic: TOPIC, input: { n: work.n, from, behave: work.behave } } };
    case 'signal': {
      const schema = { type: 'object', required: ['n'], properties: { n: { type: 'integer' } } };
      const deadline = { timeout_seconds: SOON_SECONDS, on_timeout: work.onTimeout };
      return { action_type: 'signal', config: { name: step.id, schema, ...(work.comes === 'never' ? deadline : {}) } };
    }
    case 'approval': {
      const deadline = { timeout_seconds: SOON_SECONDS, on_timeout: work.onTimeout };
      const escalation = work.onTimeout === 'escalate' ? { escalate_to: 'somebody else' } : {};
      const config = { approvers: [SOMEBODY], on_reject: work.onReject };
      const late = work.decided === 'by_nobody' ? { ...deadline, ...escalation } : {};
      return { action_type: 'approval', config: { ...config, ...late } };
    }
    case 'child':
      return { action_type: 'workflow', config: { workflow_id: workflowIds.get(work.plot), wait: !work.alone } };
    case 'by_hand':
      return { action_type: 'wait', config: { seconds: NEVER_SECONDS } };
    case 'overdue':
      return { action_type: 'test_task', config: { n: work.n, duration: NEVER_SECONDS } };
  }
}

function itemsOf({ items }: Extract<Work, { kind: 'items' }>): object[] {
  return items.map((behave, n) => ({ n, fails: { succeed: 0, flaky: 1, fail: 1_000 }[behave] }));
}

function undoingOf({ id, undone, work }: Step, plot: Plot): object {
  if (undone === undefined) return {};
  const undoes = numberPath(work) === undefined ? null : `{{${pathTo(plot, id)}}}`;
  const retry = { max_attempts: UNDO_ATTEMPTS, backoff: 'fixed', initial_delay_seconds: 0.01 };
  return { compensate: { action_type: 'test_task', config: { undoes, ...failingAs(undone, `${id} stays`) }, retry } };
}

function failingAs(behave: Behaviour, message: string): object {
  if (behave === 'succeed') return {};
  return { fail_with: message, ...(behave === 'flaky' ? { fail_attempts: 1 } : {}) };
}

function partsOf({ id, work }: Step): object {
  if (work.kind === 'loop')
    return { repeat: { until: `output.n >= ${work.until}`, max_iterations: work.max, delay_seconds: 0.01 } };
  if (work.kind !== 'items') return {};
  const items = { literal: itemsOf(work), template: `{{list_${id}}}`, cel: `params.list_${id}` }[work.given];
  const max = work.maxParallel === undefined ? {} : { max_parallel: work.maxParallel };
  return { for_each: { items, ...max, on_item_failure: work.onItemFailure } };
}

function conditionOf(condition: Condition, plot: Plot): string {
  if (condition.of === 'parameter') return `params.${condition.holds ? 'yes' : 'no'}`;
  const path = pathTo(plot, condition.step);
  // A child may have completed and given null.
  return `${condition.step} != null && ${path} != null && ${path} >= ${condition.atLeast}`;
}

function pathTo(plot: Plot, id: string): string {
  return [id, ...(numberPath(stepOf(plot, id).work) ?? [])].join('.');
}

/** What of an output is the same in every run: what `evaluate` says of it. */
export function comparable(plot: Plot, id: string, output: unknown): unknown {
  if (output === null) return null;
  const { work } = stepOf(plot, id);
  const fields = output as Record<string, unknown>; // All of them give objects.
  switch (work.kind) {
    case 'echo': {
      const { duration: _, fail_with: _message, fail_attempts: _attempts, ...rest } = fields;
      return rest;
    }
    case 'call': {
      const { given: _, ...rest } = fields['body'] as Record<string, unknown>; // As the service answers.
      return { body: rest };
    }
    case 'wait': {
      const { waited_until: _, ...rest } = fields;
      return rest;
    }
    case 'items':
      return (output as unknown[]).map((one) => (one === null ? null : withoutFailure(one))); // A list of outputs.
    case 'approval': {
      const { at: _, ...rest } = fields;
      return rest;
    }
    case 'child': {
      const { execution_id: _, output: ofChild, ...rest } = fields;
      return { ...rest, output: comparableOutput(work.plot, ofChild) };
    }
    case 'compute':
    case 'by_hand':
    case 'loop':
    case 'external':
    case 'signal':
    case 'overdue':
      return fields;
  }
}

/** What of the output of an undoing is what it was given. */
export function withoutFailure(echoed: unknown): unknown {
  const { fail_with: _, fail_attempts: _attempts, ...rest } = echoed as Record<string, unknown>; // What it was given.
  return rest;
}

export function comparableOutput(plot: Plot, output: unknown): unknown {
  if (output === null || plot.output !== 'of_the_last') return output;
  const parts = Object.entries(output as Record<string, unknown>); // By the ids of the last actions.
  return Object.fromEntries(parts.map(([id, part]) => [id, comparable(plot, id, part)]));
}
