/** What a compensation gets of the action that it undoes; it fails where it needs an output that nobody knows. */

import { OrchestratorError } from '../../domain/errors.ts';
import type { PlannedAction } from '../../domain/graph/plan.ts';
import { textsNaming } from '../../domain/runs/compensation-input.ts';
import type { Compensates } from '../../domain/runs/saga.ts';
import type { Attempt } from './attempt.ts';
import type { SagaStore } from './compensate.ts';
import { namesFor, type Scope } from './resolve-input.ts';

export interface CompensationInput {
  compensates: Compensates;
  outputs: Scope['outputs'];
}

export async function compensationInput(
  sagas: Pick<SagaStore, 'lateOutput'>,
  { run, found, plan, planned }: Attempt,
  undoes: PlannedAction,
  outputs: Scope['outputs'],
): Promise<CompensationInput> {
  const { action_id: id } = undoes.action;
  const done = found.tasks.get(id);
  // One that completed keeps the epoch that it completed in, which is in the idempotency key that its services have.
  const key = `${run.id}.${done?.epoch ?? run.epoch}.${id}`;
  const compensates = (effect: Compensates['effect']) => ({ action_id: id, idempotency_key: key, effect });
  if (done?.status === 'completed') return { compensates: compensates('completed'), outputs };
  const late = await sagas.lateOutput(run.id, id, done?.epoch ?? run.epoch);
  if (late !== undefined) {
    return { compensates: compensates('completed'), outputs: new Map(outputs).set(id, late.output) };
  }
  const [text] = textsNaming(planned.action.config, id, namesFor(plan, planned));
  if (text !== undefined) {
    throw new OrchestratorError(
      'effect_unknown',
      `nobody knows what '${id}' has brought about: it may have happened, and is not undone, for ${text} of its compensation names its output`,
    );
  }
  return { compensates: compensates('unknown'), outputs };
}
