/** A run as a saga: what it did, step by step, and how each step was compensated. Pure. */

import type { Definition } from '../../domain/definition/definition.ts';
import { compensationId } from '../../domain/runs/saga.ts';
import { storedMessage } from '../../domain/texts/error-message.ts';
import { isoText } from '../../domain/texts/iso-text.ts';
import type { Json } from '../../schemas/json.ts';
import type { Saga } from './schemas.ts';

export interface StepRow {
  actionId: string;
  status: Saga['steps'][number]['status'];
  attempts: number;
  error: Json;
  startedAt: Date | null;
  finishedAt: Date | null;
}

/** Every action, in the order of the definition; one without a row has not started. */
export function stepsOf({ actions }: Pick<Definition, 'actions'>, rows: readonly StepRow[]): Saga['steps'] {
  const byId = new Map(rows.map((row) => [row.actionId, row]));
  return actions.map(({ action_id: id, action_type: type, name, compensate }) => {
    const compensation = byId.get(compensationId(id));
    return {
      step_id: id,
      name: name ?? id,
      action_type: type,
      ...stateOf(byId.get(id)),
      compensation:
        compensate === undefined
          ? null
          : {
              action_type: compensate.action_type,
              ...(compensation === undefined ? { ...stateOf(undefined), status: 'not_begun' } : stateOf(compensation)),
            },
    };
  });
}

function stateOf(row: StepRow | undefined) {
  return {
    status: row?.status ?? ('pending' as const),
    attempts: row?.attempts ?? 0,
    started_at: isoText(row?.startedAt ?? null),
    completed_at: isoText(row?.finishedAt ?? null),
    error_message: storedMessage(row?.error ?? null) ?? null,
  };
}
