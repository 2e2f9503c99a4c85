/**
 * Makes the canonical definition of what a client sent. What does not fit the schema is `invalid_request`; what fits
 * and cannot work is `definition_invalid`. Both name all faults at once.
 */
import { type DefinitionInput, parseDefinition, workflowUpdateInput } from '../../schemas/definition.ts';
import { parseWith } from '../../schemas/faults.ts';
import { guardJson } from '../../schemas/json-guard.ts';
import { DOUBLED } from '../runs/retry.ts';
import { toCanonical } from './canonical-form.ts';
import { checkDefinition, type DefinitionCatalogue } from './check-definition.ts';
import { ACTION_DEFAULTS, DEFAULT_RETRY, DEFAULT_TIMEOUT_SECONDS, type Definition } from './definition.ts';
import { FaultList } from './fault-list.ts';

const MALFORMED = 'The definition is not valid';
const UNWORKABLE = 'The definition cannot work';

/** `tenantId` is what the flow form says; whoever takes the definition decides whether the caller may say it. */
export function normaliseDefinition(
  body: unknown,
  catalogue: DefinitionCatalogue,
): { definition: Definition; tenantId: string | undefined } {
  const input = readInput(body);
  const malformed = new FaultList();
  const unworkable = new FaultList();
  const draft = toCanonical(input, catalogue.defaults ?? ACTION_DEFAULTS, malformed, unworkable);
  malformed.throwIfAny('invalid_request', MALFORMED);
  const definition = checkDefinition(draft, catalogue, unworkable);
  unworkable.throwIfAny('definition_invalid', UNWORKABLE);
  return { definition, tenantId: input.form === 'flow' ? (input.value.tenant_id ?? undefined) : undefined };
}

function readInput(body: unknown): DefinitionInput {
  const dangers = guardJson(body);
  const parsed = parseDefinition(body);
  if (parsed.ok && dangers.length === 0) return parsed.value;
  const faults = new FaultList();
  faults.addAll(dangers);
  if (!parsed.ok) faults.addAll(parsed.faults);
  throw faults.toError('invalid_request', MALFORMED);
}

/** The current definition with a subset of its fields replaced (null takes one away), checked again as a whole. */
export function mergeDefinition(current: Definition, patch: unknown, catalogue: DefinitionCatalogue): Definition {
  const dangers = guardJson(patch);
  const parsed = parseWith(workflowUpdateInput, patch);
  if (!parsed.ok || dangers.length > 0) {
    const faults = new FaultList();
    faults.addAll(dangers);
    if (!parsed.ok) faults.addAll(parsed.faults);
    throw faults.toError('invalid_request', MALFORMED);
  }
  // They belong to the workflow and not to a version of its definition.
  const { status: _, canary_percent: __, ...fields } = parsed.value;
  return normaliseDefinition({ ...current, ...fields }, catalogue).definition;
}

export interface TaskDefinition {
  /** Canonical. */
  action_type: string;
  max_attempts?: number | undefined;
  timeout_seconds?: number | undefined;
  initial_delay_seconds?: number | undefined;
  multiplier?: number | undefined;
}

export const INLINE_ACTION_ID = 'task';

/** A workflow of one action that gets the whole parameters of its run as config. */
export function inlineDefinition(task: TaskDefinition): Definition {
  return {
    name: task.action_type,
    tags: [],
    parameters: [],
    actions: [
      {
        action_id: INLINE_ACTION_ID,
        action_type: task.action_type,
        config: '{{params}}',
        depends_on: [],
        run_if: 'all_succeeded',
        retry: {
          ...DEFAULT_RETRY,
          non_retryable: [],
          max_attempts: task.max_attempts ?? DEFAULT_RETRY.max_attempts,
          initial_delay_seconds: task.initial_delay_seconds ?? DEFAULT_RETRY.initial_delay_seconds,
          multiplier: task.multiplier ?? DOUBLED,
        },
        timeout_seconds: task.timeout_seconds ?? DEFAULT_TIMEOUT_SECONDS,
        on_failure: 'fail',
      },
    ],
  };
}
