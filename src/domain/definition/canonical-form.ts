/** Makes the canonical form of what fits a schema: older spellings and the flow form translated, defaults filled in. */
import { isDeepStrictEqual } from 'node:util';
import type {
  ActionInput,
  DefinitionInput,
  FlowInput,
  FlowTaskInput,
  ParameterInput,
  WorkflowInput,
} from '../../schemas/definition.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import { DOUBLED } from '../runs/retry.ts';
import type {
  Action,
  ActionDefaults,
  Compensation,
  Concurrency,
  Dedupe,
  Definition,
  ForEach,
  Parameter,
  Repeat,
  RetryPolicy,
  Trigger,
} from './definition.ts';
import type { FaultList } from './fault-list.ts';
import { WORKFLOW_ACTION } from './sub-workflows.ts';

/** How the client's form calls things, for the paths of faults. */
export interface FieldNames {
  actions: string;
  action_id: string;
  action_type: string;
  config: string;
}

export interface CanonicalDraft {
  definition: Definition;
  names: FieldNames;
  /** Conditions in the older spelling, by the index of their action; not in CEL yet. */
  conditions: Map<number, string>;
}

const WORKFLOW_NAMES: FieldNames = {
  actions: 'actions',
  action_id: 'action_id',
  action_type: 'action_type',
  config: 'config',
};
const FLOW_NAMES: FieldNames = { actions: 'tasks', action_id: 'id', action_type: 'handler', config: 'inputs' };

/** `malformed` gets what no schema can say (two spellings that disagree), `unworkable` what is not supported. */
export function toCanonical(
  input: DefinitionInput,
  defaults: ActionDefaults,
  malformed: FaultList,
  unworkable: FaultList,
): CanonicalDraft {
  return input.form === 'flow'
    ? fromFlow(input.value, defaults)
    : fromWorkflow(input.value, defaults, malformed, unworkable);
}

function fromWorkflow(
  input: WorkflowInput,
  defaults: ActionDefaults,
  malformed: FaultList,
  unworkable: FaultList,
): CanonicalDraft {
  if (input.on_failure === 'continue') {
    unworkable.add('on_failure', 'on_failure: continue is not supported yet for a whole workflow');
  }
  checkCompensable(input, unworkable);
  const parameters = (input.parameters ?? []).map((parameter, index) =>
    toParameter(parameter, `parameters.${index}`, malformed, unworkable),
  );
  const conditions = new Map<number, string>();
  const actions = input.actions.map((action, index) => {
    const path = `actions.${index}`;
    const condition = action.condition ?? undefined;
    if (condition !== undefined && !disagree(malformed, path, ['condition', condition], ['when', action.when])) {
      if (condition !== action.when) conditions.set(index, condition);
    }
    return toAction(action, path, defaults, malformed);
  });
  return {
    definition: {
      name: input.name,
      ...present({ description: input.description, version: textOfVersion(input.version) }),
      tags: [...new Set(input.tags ?? [])],
      parameters,
      actions,
      ...present({ output: json(input.output), timeout_seconds: input.timeout_seconds, dedupe: toDedupe(input) }),
      ...present({ concurrency: toConcurrency(input), triggers: toTriggers(input) }),
      ...present({ retention_days: input.retention_days, metadata: jsonObject(input.metadata) }),
    },
    names: WORKFLOW_NAMES,
    conditions,
  };
}

function toConcurrency({ concurrency }: WorkflowInput): Concurrency | undefined {
  return concurrency === undefined || concurrency === null
    ? undefined
    : { ...concurrency, policy: concurrency.policy ?? 'queue' };
}

function toTriggers({ triggers }: WorkflowInput): Trigger[] | undefined {
  if (triggers === undefined || triggers === null || triggers.length === 0) return undefined;
  return triggers.map(({ event, source, filter, parameters, correlation_key }) => ({
    event,
    ...present({ source, filter, correlation_key, parameters: jsonObject(parameters) }),
  }));
}

function toDedupe({ dedupe }: WorkflowInput): Dedupe | undefined {
  return dedupe === undefined || dedupe === null ? undefined : { ...dedupe, policy: dedupe.policy ?? 'reject' };
}

function toParameter(input: ParameterInput, path: string, malformed: FaultList, unworkable: FaultList): Parameter {
  if (input.type === 'file') unworkable.add(`${path}.type`, 'the parameter type file is not supported yet');
  const rules = input.validation_rules ?? {};
  const either = <T>(olderName: string, older: T, newerName: string, newer: T): T => {
    disagree(malformed, path, [olderName, older], [newerName, newer]);
    return newer ?? older;
  };
  const fallback = json(either('default_value', input.default_value, 'default', input.default));
  const isOptional = Object.hasOwn(input, 'default') || (input.default_value ?? null) !== null;
  return {
    name: input.name,
    type: input.type === 'float' ? 'number' : input.type === 'file' ? 'string' : input.type,
    ...present({ description: input.description }),
    required: input.required ?? !isOptional,
    ...present({
      default: fallback,
      enum: either('allowed_values', input.allowed_values, 'enum', input.enum)?.map((value) => json(value) ?? null),
      min_length: either('validation_rules.min_length', rules.min_length, 'min_length', input.min_length),
      max_length: either('validation_rules.max_length', rules.max_length, 'max_length', input.max_length),
      pattern: either('validation_rules.pattern', rules.pattern, 'pattern', input.pattern),
    }),
  };
}

function toAction(input: ActionInput, path: string, defaults: ActionDefaults, malformed: FaultList): Action {
  const id = input.action_id ?? snakeCase(input.name ?? '');
  if (id === '') malformed.add(`${path}.action_id`, 'is required when there is no name to make it from');
  return {
    action_id: id,
    action_type: input.action_type,
    ...present({ name: input.name, description: input.description }),
    config: json(input.config) ?? {},
    depends_on: [...new Set(input.depends_on ?? [])],
    ...present({ when: input.when }),
    run_if: input.run_if ?? 'all_succeeded',
    retry: toRetry(input, path, defaults.retry, malformed),
    timeout_seconds: input.timeout_seconds ?? defaults.timeout_seconds,
    ...present({ heartbeat_timeout_seconds: input.heartbeat_timeout_seconds }),
    ...present({ delay_seconds: input.delay_seconds, priority: input.priority }),
    on_failure: toOnFailure(input, path, malformed),
    ...present({ for_each: toForEach(input.for_each), repeat: toRepeat(input.repeat) }),
    ...present({ compensate: toCompensation(input, `${path}.compensate`, defaults, malformed) }),
    ...present({ idempotent: input.idempotent, cache: input.cache, metadata: jsonObject(input.metadata) }),
  };
}

/** `on_failure: compensate` means nothing where no action has a compensation. */
function checkCompensable({ actions, on_failure }: WorkflowInput, unworkable: FaultList): void {
  if (actions.some(({ compensate }) => compensate !== null && compensate !== undefined)) return;
  const message = 'compensate needs an action that says how it is undone (its `compensate`)';
  if (on_failure === 'compensate') unworkable.add('on_failure', message);
  actions.forEach((action, index) => {
    if (action.on_failure === 'compensate') unworkable.add(`actions.${index}.on_failure`, message);
  });
}

function toCompensation(
  { compensate }: ActionInput,
  path: string,
  defaults: ActionDefaults,
  malformed: FaultList,
): Compensation | undefined {
  if (compensate === null || compensate === undefined) return undefined;
  return {
    action_type: compensate.action_type,
    config: json(compensate.config) ?? {},
    retry: toRetry(compensate, path, defaults.retry, malformed),
    timeout_seconds: compensate.timeout_seconds ?? defaults.timeout_seconds,
  };
}

function toForEach(input: ActionInput['for_each']): ForEach | undefined {
  if (input === null || input === undefined) return undefined;
  return {
    items: json(input.items) ?? [],
    ...present({ max_parallel: input.max_parallel }),
    on_item_failure: input.on_item_failure ?? 'fail',
  };
}

function toRepeat(input: ActionInput['repeat']): Repeat | undefined {
  if (input === null || input === undefined) return undefined;
  return {
    until: input.until,
    max_iterations: input.max_iterations,
    ...present({ delay_seconds: input.delay_seconds }),
  };
}

function toRetry(
  input: Pick<ActionInput, 'action_type' | 'retry' | 'retry_count' | 'retry_delay'>,
  path: string,
  defaults: RetryPolicy,
  malformed: FaultList,
): RetryPolicy {
  const retry = input.retry ?? {};
  const olderAttempts = typeof input.retry_count === 'number' ? input.retry_count + 1 : undefined;
  if (olderAttempts !== undefined && (retry.max_attempts ?? olderAttempts) !== olderAttempts) {
    malformed.add(`${path}.retry_count`, `is an older spelling of retry.max_attempts (one more) and disagrees with it`);
  }
  const newer: Spelling = ['retry.initial_delay_seconds', retry.initial_delay_seconds];
  disagree(malformed, path, ['retry_delay', input.retry_delay], newer);
  const initial = retry.initial_delay_seconds ?? input.retry_delay ?? defaults.initial_delay_seconds;
  return {
    max_attempts: retry.max_attempts ?? olderAttempts ?? defaults.max_attempts,
    backoff: retry.backoff ?? (typeof input.retry_delay === 'number' ? 'fixed' : defaults.backoff),
    initial_delay_seconds: initial,
    multiplier: retry.multiplier ?? defaults.multiplier ?? DOUBLED,
    max_delay_seconds: retry.max_delay_seconds ?? Math.max(initial, defaults.max_delay_seconds),
    jitter: retry.jitter ?? defaults.jitter,
    non_retryable: [...(retry.non_retryable ?? defaultNonRetryable(input, defaults))],
  };
}

/** What failed inside another workflow was tried there; all of it is started again only where its action says `retry`. */
function defaultNonRetryable(input: ActionInput, defaults: RetryPolicy): string[] {
  const saysNothing = (input.retry ?? null) === null && (input.retry_count ?? null) === null;
  return input.action_type === WORKFLOW_ACTION && saysNothing
    ? [...defaults.non_retryable, 'child_failed']
    : defaults.non_retryable;
}

function toOnFailure(input: ActionInput, path: string, malformed: FaultList): Action['on_failure'] {
  const spellings = present({
    on_failure: input.on_failure,
    continue_on_error: input.continue_on_error,
    on_error: input.on_error,
  });
  const meanings = new Set(Object.values(spellings).map((value) => (LETS_GO.has(value) ? 'continue' : 'fail')));
  if (meanings.size > 1) malformed.add(path, `${Object.keys(spellings).join(' and ')} disagree; use on_failure alone`);
  if (meanings.has('continue')) return 'continue';
  return input.on_failure === 'compensate' ? 'compensate' : 'fail';
}

const LETS_GO: ReadonlySet<unknown> = new Set([true, 'continue', 'skip', 'ignore']);

function fromFlow(input: FlowInput, defaults: ActionDefaults): CanonicalDraft {
  const conditions = new Map<number, string>();
  input.tasks.forEach((task, index) => {
    const condition = task.condition?.trim() ?? '';
    if (condition !== '') conditions.set(index, condition);
  });
  return {
    definition: {
      name: input.id,
      ...present({ version: textOfVersion(input.version) }),
      tags: [],
      parameters: [],
      actions: input.tasks.map((task) => fromFlowTask(task, defaults)),
      ...present({ metadata: jsonObject(input.metadata) }),
    },
    names: FLOW_NAMES,
    conditions,
  };
}

function fromFlowTask(task: FlowTaskInput, defaults: ActionDefaults): Action {
  return {
    action_id: task.id,
    action_type: task.handler,
    config: json(task.inputs) ?? {},
    depends_on: [...new Set(task.depends_on ?? [])],
    run_if: 'all_succeeded',
    retry: {
      ...defaults.retry,
      max_attempts:
        task.retries === undefined || task.retries === null ? defaults.retry.max_attempts : task.retries + 1,
    },
    timeout_seconds: task.timeout ?? defaults.timeout_seconds,
    on_failure: 'fail',
    ...present({ metadata: jsonObject(task.metadata) }),
  };
}

/** The name of a field, and what it was given. */
type Spelling = readonly [name: string, value: unknown];

/** True, with a fault, when a field is given in both of its spellings and they differ. */
function disagree(
  malformed: FaultList,
  path: string,
  [olderName, older]: Spelling,
  [newerName, newer]: Spelling,
): boolean {
  if (older === undefined || older === null || newer === undefined || newer === null) return false;
  if (isDeepStrictEqual(older, newer)) return false;
  malformed.add(`${path}.${olderName}`, `is an older spelling of ${newerName} and disagrees with it`);
  return true;
}

/** `Fetch PR Data` and `fetchPrData` are `fetch_pr_data`. */
export function snakeCase(name: string): string {
  return name
    .replace(/([\p{Ll}\p{N}])(\p{Lu})/gu, '$1_$2')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '_')
    .replace(/^_|_$/g, '')
    .slice(0, 255);
}

type Present<T> = { [K in keyof T]?: NonNullable<T[K]> };

/** The fields that are there: null stands for "left out". */
function present<T extends object>(fields: T): Present<T> {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null);
  return Object.fromEntries(entries) as Present<T>; // Entries lose their types; the filter is what `Present` says.
}

function textOfVersion(version: string | number | null | undefined): string | undefined {
  return version === null || version === undefined ? undefined : String(version);
}

/** The body was JSON and has passed `guardJson`, so what a schema calls unknown is JSON. */
function json(value: unknown): Json | undefined {
  return value === null || value === undefined ? undefined : (value as Json);
}

function jsonObject(value: Record<string, unknown> | null | undefined): JsonObject | undefined {
  return value === null || value === undefined ? undefined : (value as JsonObject); // As above.
}
