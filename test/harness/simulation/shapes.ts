/** The workflows that are simulated: few actions, and every way in which one can wait for another. */
import type { Definition } from '../../../src/domain/definition/definition.ts';
import { makePlan, type Plan } from '../../../src/domain/graph/plan.ts';
import type { Plans } from '../../../src/engine/accept/plans.ts';
import { DIAMOND, definitionOf, type Edges } from '../dags.ts';
import { tries } from '../fakes/engine.ts';

export interface Shape {
  name: string;
  plan: Plan;
  plans: Plans;
}

export const MAX_ATTEMPTS = 3;

export const A_DIAMOND = shape('a diamond', DIAMOND);
export const A_GATE = shape('a gate', { a: [], s: [], b: ['a'], c: ['a'], d: ['b', 'c', 's'] });
export const SHAPES: readonly Shape[] = [
  A_DIAMOND,
  A_GATE,
  shape('a gate behind a cut', { z: [], a: ['z'], s: ['z'], b: ['a'], c: ['a'], d: ['b', 'c', 's'] }),
  shape('two ends', { a: [], x: ['a'], y: ['a'] }),
  shape('one task', { a: [] }),
  shape('a chain that tolerates', { a: [], b: ['a'], c: ['b'] }, { b: { on_failure: 'continue' } }),
];

function shape(
  name: string,
  edges: Edges,
  special: Record<string, Partial<Definition['actions'][number]>> = {},
): Shape {
  const plan = makePlan(definitionOf(edges, (id) => ({ ...tries(MAX_ATTEMPTS), ...special[id] })));
  return { name, plan, plans: { of: async () => plan } };
}
