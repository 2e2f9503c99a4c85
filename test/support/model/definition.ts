/** A plot as a client writes it down. */
import type { TestAction } from '../test-task.ts';
import { stepOf } from './evaluate.ts';
import type { Condition, Plot, Step } from './forms.ts';
import { named, numberPath } from './naming.ts';

/** For longer than any test takes. */
const NEVER_SECONDS = 3_600;
const OVERDUE_SECONDS = 0.05;

export interface Surroundings {
  /** Of the service that is called. */
  serviceUrl: string;
}

export function definitionOf(plot: Plot, surroundings: Surroundings): object {
  return {
    name: 'a plot',
    parameters: ['yes', 'no'].map((name) => ({ name, type: 'boolean', default: name === 'yes' })),
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
    ...(step.cached ? { cache: { key: 'always', ttl_seconds: NEVER_SECONDS } } : {}),
    ...(step.delayMs === undefined ? {} : { delay_seconds: step.delayMs / 1_000 }),
    ...(step.priority === undefined ? {} : { priority: step.priority }),
  };
}

function workOf(step: Step, plot: Plot, { serviceUrl }: Surroundings): Pick<TestAction, 'action_type' | 'config'> {
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
          ...(work.behave === 'succeed' ? {} : { fail_with: `${step.id} failed` }),
          ...(work.behave === 'flaky' ? { fail_attempts: 1 } : {}),
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
    case 'by_hand':
      return { action_type: 'wait', config: { seconds: NEVER_SECONDS } };
    case 'overdue':
      return { action_type: 'test_task', config: { n: work.n, duration: NEVER_SECONDS } };
  }
}

function conditionOf(condition: Condition, plot: Plot): string {
  if (condition.of === 'parameter') return `params.${condition.holds ? 'yes' : 'no'}`;
  return `${condition.step} != null && ${pathTo(plot, condition.step)} >= ${condition.atLeast}`;
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
    case 'compute':
    case 'by_hand':
    case 'overdue':
      return fields;
  }
}

export function comparableOutput(plot: Plot, output: unknown): unknown {
  if (output === null || plot.output !== 'of_the_last') return output;
  const parts = Object.entries(output as Record<string, unknown>); // By the ids of the last actions.
  return Object.fromEntries(parts.map(([id, part]) => [id, comparable(plot, id, part)]));
}
