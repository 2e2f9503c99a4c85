/**
 * What of a new version breaks others: who starts executions (parameters), who reads their outputs, and who answers what
 * an execution waits for. What an execution does inside is its own matter.
 */

import type { Action, Definition, Parameter } from '../../domain/definition/definition.ts';
import type { FieldFault } from '../../domain/errors.ts';
import { inspectTemplates } from '../../domain/templates/templates.ts';
import { isObject, isSame } from '../../domain/texts/json-changes.ts';
import type { Json } from '../../schemas/json.ts';

/** Somebody outside names these by their ids to go on. */
const ANSWERED_FROM_OUTSIDE: ReadonlySet<string> = new Set(['approval', 'signal', 'external']);

export function breakingReasons(before: Definition, after: Definition): FieldFault[] {
  return [...parameterReasons(before, after), ...outputReasons(before, after), ...answerReasons(before, after)];
}

function parameterReasons(before: Definition, after: Definition): FieldFault[] {
  const was = new Map(before.parameters.map((parameter) => [parameter.name, parameter]));
  const is = new Map(after.parameters.map((parameter) => [parameter.name, parameter]));
  const removed = before.parameters
    .filter(({ name }) => !is.has(name))
    .map(({ name }) => ({ path: `parameters.${name}`, message: 'is not declared any more' }));
  const others = after.parameters.flatMap((parameter) =>
    narrowed(was.get(parameter.name), parameter).map((message) => ({ path: `parameters.${parameter.name}`, message })),
  );
  return [...removed, ...others];
}

/** What of a valid request is rejected now. */
function narrowed(was: Parameter | undefined, is: Parameter): string[] {
  const reasons: string[] = [];
  if (isRequired(is) && (was === undefined || !isRequired(was))) reasons.push('is required now');
  if (was === undefined) return reasons;
  if (was.type !== is.type && !(was.type === 'integer' && is.type === 'number'))
    reasons.push(`was of type ${was.type} and is of type ${is.type}`);
  const rejected = is.enum === undefined ? [] : (was.enum ?? []).filter((value) => !includes(is.enum, value));
  if (is.enum !== undefined && was.enum === undefined) reasons.push('takes only certain values now');
  if (rejected.length > 0)
    reasons.push(`does not take ${rejected.map((value) => JSON.stringify(value)).join(', ')} any more`);
  if ((is.min_length ?? 0) > (was.min_length ?? 0)) reasons.push(`must have a length of at least ${is.min_length} now`);
  if (is.max_length !== undefined && is.max_length < (was.max_length ?? Number.POSITIVE_INFINITY))
    reasons.push(`must have a length of at most ${is.max_length} now`);
  if (is.pattern !== undefined && is.pattern !== was.pattern) reasons.push(`must match ${is.pattern} now`);
  return reasons;
}

function isRequired({ required, default: fallback }: Parameter): boolean {
  return required && fallback === undefined;
}

function includes(values: readonly Json[] | undefined, sought: Json): boolean {
  return values?.some((value) => isSame(value, sought)) === true;
}

function outputReasons(before: Definition, after: Definition): FieldFault[] {
  const was = new Map(before.actions.map((action) => [action.action_id, action]));
  const is = new Map(after.actions.map((action) => [action.action_id, action]));
  const reasons = missingFields(outputOf(before), outputOf(after));
  for (const id of actionsInOutput(before)) {
    const [older, newer] = [was.get(id), is.get(id)];
    const path = `actions.${id}`;
    if (older === undefined) continue;
    if (newer === undefined)
      reasons.push({ path, message: 'is gone, and the output of an execution was made of its output' });
    else if (older.action_type !== newer.action_type) {
      const types = `was of type ${older.action_type} and is of type ${newer.action_type}`;
      reasons.push({ path, message: `${types}, and the output of an execution is made of its output` });
    }
  }
  return reasons;
}

/** As the engine makes it: the template, else the outputs of the last actions by their ids. */
function outputOf(definition: Definition): Json {
  if (definition.output !== undefined) return definition.output;
  return Object.fromEntries(sinks(definition).map(({ action_id: id }) => [id, `{{${id}}}`]));
}

function sinks({ actions }: Definition): Action[] {
  const waitedFor = new Set(actions.flatMap(({ depends_on: dependsOn }) => dependsOn));
  return actions.filter(({ action_id: id }) => !waitedFor.has(id));
}

function actionsInOutput(definition: Definition): string[] {
  if (definition.output === undefined) return sinks(definition).map(({ action_id: id }) => id);
  const names = {
    parameters: new Set(definition.parameters.map(({ name }) => name)),
    actions: new Set(definition.actions.map(({ action_id: id }) => id)),
  };
  const { references } = inspectTemplates(definition.output, names);
  return [...new Set(references.flatMap(({ kind, name }) => (kind === 'action' ? [name] : [])))];
}

/** Fields of the output that were there and are not, or are of another kind. What a template becomes is not known. */
function missingFields(before: Json, after: Json): FieldFault[] {
  const reasons: FieldFault[] = [];
  const open: Array<{ was: Json; is: Json | undefined; path: string }> = [{ was: before, is: after, path: 'output' }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { was, is, path } = next;
    if (is === undefined) reasons.push({ path, message: 'is not a part of the output of an execution any more' });
    else if (kindOf(was) !== kindOf(is)) reasons.push({ path, message: `was ${kindOf(was)} and is ${kindOf(is)}` });
    else if (isObject(was) && isObject(is)) {
      for (const [key, value] of Object.entries(was).reverse()) {
        open.push({ was: value, is: Object.hasOwn(is, key) ? is[key] : undefined, path: `${path}.${key}` });
      }
    }
  }
  return reasons;
}

function kindOf(value: Json): string {
  if (isObject(value)) return 'an object';
  return Array.isArray(value) ? 'a list' : 'a value';
}

function answerReasons(before: Definition, after: Definition): FieldFault[] {
  const is = new Map(after.actions.map((action) => [action.action_id, action]));
  return before.actions
    .filter(
      ({ action_id: id, action_type: type }) => ANSWERED_FROM_OUTSIDE.has(type) && is.get(id)?.action_type !== type,
    )
    .map(({ action_id: id, action_type: type }) => ({
      path: `actions.${id}`,
      message: `is no ${type} any more, and somebody outside answers it by its id`,
    }));
}
