/**
 * What differs between two versions of a workflow, and whether that breaks whoever starts its executions or reads their
 * outputs. Parameters are matched by name and actions by id; their order, and that of tags and dependencies, says nothing.
 */

import type { Action, Definition, Parameter } from '../../domain/definition/definition.ts';
import type { FieldFault } from '../../domain/errors.ts';
import { changesOf, type JsonChange } from '../../domain/texts/json-changes.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import { breakingReasons } from './breaking-changes.ts';

export interface DefinitionDiff {
  identical: boolean;
  breaking: boolean;
  /** Why it breaks, with the path of what does; empty when nothing does. */
  reasons: FieldFault[];
  /** Everything apart from parameters and actions. */
  fields: JsonChange[];
  parameters: { added: JsonObject[]; removed: JsonObject[]; changed: Array<{ name: string; changes: JsonChange[] }> };
  actions: { added: JsonObject[]; removed: JsonObject[]; changed: Array<{ action_id: string; changes: JsonChange[] }> };
}

export function diffDefinitions(before: Definition, after: Definition): DefinitionDiff {
  const parameters = matched<Parameter>(before.parameters, after.parameters, ({ name }) => name);
  const actions = matched<Action>(before.actions, after.actions, (action) => action.action_id);
  const fields = changesOf(otherFields(before), otherFields(after));
  const reasons = breakingReasons(before, after);
  const parts = [fields, ...[parameters, actions].flatMap(({ added, removed, changed }) => [added, removed, changed])];
  return {
    identical: parts.every((part) => part.length === 0),
    breaking: reasons.length > 0,
    reasons,
    fields,
    parameters: {
      added: parameters.added,
      removed: parameters.removed,
      changed: parameters.changed.map(({ id, changes }) => ({ name: id, changes })),
    },
    actions: {
      added: actions.added,
      removed: actions.removed,
      changed: actions.changed.map(({ id, changes }) => ({ action_id: id, changes })),
    },
  };
}

function matched<T extends object>(before: readonly T[], after: readonly T[], idOf: (item: T) => string) {
  const was = new Map(before.map((item) => [idOf(item), item]));
  const is = new Map(after.map((item) => [idOf(item), item]));
  return {
    added: after.filter((item) => !was.has(idOf(item))).map(asJson),
    removed: before.filter((item) => !is.has(idOf(item))).map(asJson),
    changed: after.flatMap((item) => {
      const id = idOf(item);
      const older = was.get(id);
      const changes = older === undefined ? [] : changesOf(comparable(older), comparable(item));
      return changes.length === 0 ? [] : [{ id, changes }];
    }),
  };
}

function otherFields({ parameters: _, actions: __, ...rest }: Definition): JsonObject {
  return comparable(rest);
}

/** Lists that are sets come in one order. */
function comparable(item: object): JsonObject {
  const copy = { ...asJson(item) };
  for (const field of ['depends_on', 'tags']) {
    const value = copy[field];
    if (Array.isArray(value)) copy[field] = [...value].sort(byText);
  }
  return copy;
}

function byText(one: Json, other: Json): number {
  return String(one) < String(other) ? -1 : 1;
}

/** What a definition is made of is JSON; its interfaces have no index signature to say so. */
function asJson(item: object): JsonObject {
  return item as JsonObject;
}
