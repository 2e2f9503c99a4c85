/** Signals of a definition: what each name means, and whether that can work. Pure. */
import { isDeepStrictEqual } from 'node:util';
import type { Json, JsonObject } from '../../schemas/json.ts';
import { hasItems } from '../runs/parts.ts';
import { compensationId } from '../runs/saga.ts';
import { hasTemplate } from '../templates/template-syntax.ts';
import { isObject } from '../texts/json-changes.ts';
import type { Action, Definition } from './definition.ts';
import type { FaultList } from './fault-list.ts';

const APPROVAL = 'approval';
const SIGNAL = 'signal';

export interface DeclaredSignal {
  name: string;
  schema: Json | undefined;
  /** Those that wait for it, in the order of the definition. */
  actionIds: string[];
  /** One of them may wait any number of times: for each item of a list, in a loop. */
  repeated: boolean;
}

/**
 * Faults that concern more than one field or action. A name is written out, so that what is sent to it can be judged
 * before anything waits; and it has one schema, because whoever sends cannot know which of several actions gets it.
 */
export function checkSignals(
  actions: readonly Action[],
  path: { actions: string; config: string },
  faults: FaultList,
): void {
  const firstOf = new Map<string, { of: string; schema: Json | undefined }>();
  const sites = actions.flatMap((action, index) => sitesOf(action, `${path.actions}.${index}`, path.config));
  const byEvent = new Set<string>();
  for (const { type, config, of, at, repeated } of sites) {
    if (type !== SIGNAL) continue;
    if (!isObject(config)) {
      faults.add(at, 'must be written out: the name and the schema of a signal are known before the run');
      continue;
    }
    const { name, schema } = config;
    if (typeof name !== 'string' || hasTemplate(name)) {
      if (typeof name === 'string') faults.add(`${at}.name`, 'must be written out, without templates');
      continue;
    }
    if (textsIn(schema ?? null).some(hasTemplate)) {
      faults.add(`${at}.schema`, 'must be written out, without templates');
    }
    if (config['event'] !== undefined) checkEvent(config, { at, repeated, shared: firstOf.has(name) }, faults);
    else if (byEvent.has(name)) faults.add(`${at}.name`, SHARED);
    if (config['event'] !== undefined) byEvent.add(name);
    const first = firstOf.get(name);
    if (first === undefined) firstOf.set(name, { of, schema });
    else if (!isDeepStrictEqual(first.schema, schema)) {
      faults.add(`${at}.schema`, `the signal '${name}' has another schema in ${first.of}; one name has one schema`);
    }
  }
}

const SHARED = 'is waited for by an event too; whoever takes an event has a name of its own';

/** An event goes to the one that it is for, and messages of one name to the first in line. */
function checkEvent(
  { event }: JsonObject,
  { at, repeated, shared }: { at: string; repeated: boolean; shared: boolean },
  faults: FaultList,
): void {
  if (typeof event === 'string' && hasTemplate(event)) {
    faults.add(`${at}.event`, 'must be written out, without templates');
  }
  if (repeated) faults.add(`${at}.event`, 'cannot be waited for by the parts of a fan-out or a loop');
  if (shared) faults.add(`${at}.name`, SHARED);
}

/** `parameters`: of the run, which are the config of a task of the single-task API. */
export function declaredSignals(definition: Definition, parameters: JsonObject): Map<string, DeclaredSignal> {
  const found = new Map<string, DeclaredSignal>();
  for (const { taskId, type, config: written, repeated } of definition.actions.flatMap((action) => sitesOf(action))) {
    if (type !== SIGNAL) continue;
    const config = written === '{{params}}' ? parameters : written;
    if (!isObject(config) || typeof config['name'] !== 'string') continue;
    const { name, schema } = config;
    const signal = found.get(name) ?? { name, schema: schema ?? undefined, actionIds: [], repeated: false };
    found.set(name, signal);
    signal.actionIds.push(taskId);
    signal.repeated ||= repeated;
  }
  return found;
}

export function isApproval({ action_type: type }: Pick<Action, 'action_type'>): boolean {
  return type === APPROVAL;
}

interface Site {
  taskId: string;
  type: string;
  config: Json;
  repeated: boolean;
  /** The paths of what waits there, and of its config. */
  of: string;
  at: string;
}

/** Where an action may wait: in itself, and in its compensation. */
function sitesOf(action: Action, of = '', config = 'config'): Site[] {
  const { action_id: id, compensate } = action;
  const own = { taskId: id, type: action.action_type, config: action.config, repeated: hasItems(action) };
  const sites = [{ ...own, of, at: `${of}.${config}` }];
  if (compensate === undefined) return sites;
  const other = {
    taskId: compensationId(id),
    type: compensate.action_type,
    config: compensate.config,
    repeated: false,
  };
  return [...sites, { ...other, of: `${of}.compensate`, at: `${of}.compensate.config` }];
}

function textsIn(value: Json): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
}
