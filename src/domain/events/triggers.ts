/** `triggers` of a workflow: which events from outside start it, with which parameters. Pure. */
import type { Json, JsonObject } from '../../schemas/json.ts';
import type { Definition, Trigger } from '../definition/definition.ts';
import type { FaultList } from '../definition/fault-list.ts';
import { inspectTemplates, resolveTemplates, type TemplateNames, textOf } from '../templates/templates.ts';
import type { Checks } from '../texts/checks.ts';
import type { IncomingEvent } from './cloud-events.ts';

const ANY = '*';
/** What a trigger may name. */
const NAMES: TemplateNames = { parameters: new Set(['event']), actions: new Set() };
const MAX_CORRELATION_ID = 255;

export interface TriggerRules {
  checks: Pick<Checks, 'expression'>;
  /** Names that CEL itself has. */
  celNames: readonly string[];
}

export function checkTriggers({ triggers }: Definition, rules: TriggerRules, faults: FaultList): void {
  for (const [index, trigger] of (triggers ?? []).entries()) {
    const path = `triggers.${index}`;
    if (trigger.filter !== undefined) checkFilter(trigger.filter, `${path}.filter`, rules, faults);
    checkTemplates(trigger.parameters ?? {}, `${path}.parameters`, faults);
    if (trigger.correlation_key !== undefined) {
      checkTemplates(trigger.correlation_key, `${path}.correlation_key`, faults);
    }
  }
}

function checkFilter(filter: string, path: string, rules: TriggerRules, faults: FaultList): void {
  const { fault, names } = rules.checks.expression(filter);
  if (fault !== undefined) faults.add(path, fault);
  for (const name of fault === undefined ? names : []) {
    if (name !== 'event' && !rules.celNames.includes(name)) {
      faults.add(path, `names '${name}'; a trigger knows the event only, as event.data.order_id`);
    }
  }
}

function checkTemplates(value: Json, path: string, faults: FaultList): void {
  const found = inspectTemplates(value, NAMES, { suggest: () => '' });
  for (const fault of found.faults) faults.add(fault.path === '' ? path : `${path}.${fault.path}`, fault.message);
  for (const { kind, name, source } of found.references) {
    if (kind === 'param' && name === 'event') continue;
    faults.add(path, `${source}: a trigger knows the event only, as {{event.data.order_id}}`);
  }
}

/** All patterns that match a type: itself, and every prefix of it with a star. */
export function patternsFor(type: string): string[] {
  return [type, ...Array.from({ length: type.length + 1 }, (_, length) => `${type.slice(0, length)}${ANY}`)];
}

export function matches(pattern: string, text: string): boolean {
  return pattern.endsWith(ANY) ? text.startsWith(pattern.slice(0, -1)) : pattern === text;
}

/** The parameters of the run that it starts. Throws `template_unresolved` for what the event has not. */
export function parametersFor(trigger: Trigger, event: IncomingEvent): JsonObject {
  if (trigger.parameters === undefined) return { event };
  return resolved(trigger.parameters, event) as JsonObject; // Templates are replaced inside, an object stays one.
}

/** The correlation id of the run that it starts; undefined: the key says nothing. */
export function correlationFor(trigger: Trigger, event: IncomingEvent): string | undefined {
  if (trigger.correlation_key === undefined) return undefined;
  const text = textOf(resolved(trigger.correlation_key, event)).slice(0, MAX_CORRELATION_ID);
  return text === '' ? undefined : text;
}

function resolved(value: Json, event: IncomingEvent): Json {
  const scope = { params: { event }, run: {}, outputs: new Map(), isServiceCall: () => false, secret: () => undefined };
  return resolveTemplates(value, scope, NAMES);
}
