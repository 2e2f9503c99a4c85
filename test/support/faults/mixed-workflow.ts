/**
 * Workflows for the mixed load: a random graph, in which each action echoes, calls the service outside, computes or
 * waits. What must become of it is the plain evaluation of the graph, put into the words of each kind of work.
 */
import type { PlainResult } from '../checker/promises.ts';
import { definitionOfRandom, evaluate, type RandomWorkflow } from '../random-workflow.ts';
import type { TestAction } from '../test-task.ts';

export type Work =
  | { kind: 'echo' }
  /** `workMs`: how long the service takes to answer. */
  | { kind: 'call'; workMs: number }
  | { kind: 'compute' }
  | { kind: 'wait'; seconds: number };

export interface MixedWorkflow {
  graph: RandomWorkflow;
  works: ReadonlyMap<string, Work>;
  /** Not begun before that many seconds, by action. */
  delays: ReadonlyMap<string, number>;
}

/** What cannot fail, or has no number to be named by others, is drawn accordingly: a graph is made to fit its works. */
export function fitting({ edges, actions }: RandomWorkflow, works: ReadonlyMap<string, Work>): RandomWorkflow {
  const fitted = [...actions].map(([id, action]) => {
    const kind = works.get(id)?.kind;
    const nameless = (edges[id] ?? []).some((dependency) => works.get(dependency)?.kind === 'wait');
    return [
      id,
      {
        ...action,
        ...(kind === 'compute' || kind === 'wait'
          ? { behaviour: 'succeed' as const, naming: 'declared' as const }
          : {}),
        ...(nameless ? { naming: 'declared' as const } : {}),
      },
    ] as const;
  });
  return { edges, actions: new Map(fitted) };
}

export function definitionOfMixed({ graph, works, delays }: MixedWorkflow, serviceUrl: string): object {
  // Its actions are test tasks.
  const plain = definitionOfRandom(graph) as { actions: Array<TestAction & { config: EchoConfig }> };
  const actions = plain.actions.map((action) => {
    const id = action.action_id;
    const delay = delays.get(id);
    return {
      ...action,
      ...doing(id, works, graph, action.config, serviceUrl),
      ...(delay === undefined ? {} : { delay_seconds: delay }),
    };
  });
  return { ...plain, name: 'mixed', actions };
}

interface EchoConfig {
  n: number;
  from: string[];
  [field: string]: unknown;
}

function doing(
  id: string,
  works: ReadonlyMap<string, Work>,
  graph: RandomWorkflow,
  config: EchoConfig,
  serviceUrl: string,
): { action_type: string; config: object } {
  const { n } = config;
  const from = config.from.map((template) => {
    const named = template.slice(2, template.lastIndexOf('.'));
    return works.get(named)?.kind === 'call' ? `{{${named}.body.n}}` : template;
  });
  const work = works.get(id) ?? { kind: 'echo' };
  switch (work.kind) {
    case 'echo':
      return { action_type: 'test_task', config: { ...config, from } };
    case 'call': {
      const json = { n, from, work_ms: work.workMs, behave: behaviourOf(graph, id) };
      return { action_type: 'http_request', config: { url: `${serviceUrl}/${id}`, method: 'POST', json } };
    }
    case 'compute':
      return { action_type: 'transform', config: { outputs: { n: `${n} + 0` } } };
    case 'wait':
      return { action_type: 'wait', config: { seconds: work.seconds } };
  }
}

function behaviourOf({ actions }: RandomWorkflow, id: string): 'succeed' | 'fail' | 'flaky' {
  const behaviour = actions.get(id)?.behaviour ?? 'succeed';
  return behaviour === 'fail_twice' ? 'fail' : behaviour;
}

export function evaluateMixed({ graph, works }: MixedWorkflow): PlainResult {
  const { status, tasks } = evaluate(graph);
  const expected = Object.entries(tasks).map(([id, task]) => {
    const kind = works.get(id)?.kind ?? 'echo';
    // The service fails once for each key: when nobody records that failure, because its caller is killed, one attempt is enough.
    const min = kind === 'call' && behaviourOf(graph, id) === 'flaky' ? Math.min(1, task.attempts) : task.attempts;
    return [id, { status: task.status, output: outputOf(kind, task.output), attempts: { min, max: task.attempts } }];
  });
  return { status, tasks: Object.fromEntries(expected) };
}

function outputOf(kind: Work['kind'], echoed: unknown): unknown {
  if (echoed === null) return null;
  const { n, from } = echoed as EchoConfig; // What a test task was given.
  switch (kind) {
    case 'echo':
      return echoed;
    case 'call':
      return { n, from };
    case 'compute':
      return { n };
    case 'wait':
      return { waited: true };
  }
}

/** An output without what differs from call to call. */
export function comparableOutput(output: unknown): unknown {
  if (typeof output !== 'object' || output === null) return output;
  if ('waited_until' in output) return { waited: true };
  if (!('body' in output) || typeof output.body !== 'object' || output.body === null) return output;
  const { given: _, ...rest } = output.body as Record<string, unknown>; // An object.
  return rest;
}
