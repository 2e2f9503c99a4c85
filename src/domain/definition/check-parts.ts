/** Whether the `for_each` and `repeat` of an action can work, and which actions they name. */
import { MAX_ITEMS } from '../../schemas/definition.ts';
import type { Json } from '../../schemas/json.ts';
import type { FieldFault } from '../errors.ts';
import { hasTemplate, parseText } from '../templates/template-syntax.ts';
import { inspectTemplates, type TemplateNames } from '../templates/templates.ts';
import type { Checks } from '../texts/checks.ts';
import type { Action } from './definition.ts';

export interface RepetitionCheck {
  names: TemplateNames;
  suggest(name: string): string;
  checks: Pick<Checks, 'expression'>;
  /** What an expression may name besides actions. */
  variables: ReadonlySet<string>;
}

/** What an expression of a loop sees besides everything else. */
const LOOP_VARIABLES: ReadonlySet<string> = new Set(['output', 'iteration']);

interface Found {
  faults: FieldFault[];
  named: Set<string>;
}

/** The faults, with paths below the action, and the actions that are named. `own`: the action itself. */
export function checkRepetition(action: Action, check: RepetitionCheck): { faults: FieldFault[]; named: string[] } {
  const found: Found = { faults: [], named: new Set() };
  const { faults, named } = found;
  const { for_each: forEach, repeat } = action;
  if (forEach !== undefined && repeat !== undefined) {
    faults.push({
      path: 'repeat',
      message: 'an action has either for_each or repeat; put one of them into a workflow of its own',
    });
  }
  if (forEach !== undefined) checkItems(forEach.items, check, found);
  if (repeat !== undefined) {
    const variables = new Set([...check.variables, ...LOOP_VARIABLES, action.action_id]);
    checkCel(repeat.until, 'repeat.until', { ...check, variables }, found);
    named.delete(action.action_id);
  }
  return { faults, named: [...named] };
}

function checkItems(items: Json, check: RepetitionCheck, { faults, named }: Found): void {
  if (Array.isArray(items) && items.length > MAX_ITEMS) {
    faults.push({ path: 'for_each.items', message: `has ${items.length} items; one run takes at most ${MAX_ITEMS}` });
    return;
  }
  if (typeof items === 'string' && !hasTemplate(items)) {
    checkCel(items, 'for_each.items', check, { faults, named });
    return;
  }
  if (typeof items === 'string' && !isOneTemplate(items)) {
    faults.push({ path: 'for_each.items', message: 'is text with templates in it; a list is one template, or CEL' });
    return;
  }
  const found = inspectTemplates(items, check.names, { suggest: check.suggest });
  for (const { path, message } of found.faults) {
    faults.push({ path: path === '' ? 'for_each.items' : `for_each.items.${path}`, message });
  }
  for (const { kind, name, source } of found.references) {
    if (kind === 'action') named.add(name);
    if (kind === 'secret')
      faults.push({ path: 'for_each.items', message: `${source}: the items are stored, and secrets are not` });
  }
}

function isOneTemplate(text: string): boolean {
  const parsed = parseText(text.trim());
  // What does not parse is reported by the check of its templates.
  return !parsed.ok || (parsed.parts.length === 1 && parsed.parts[0]?.kind === 'path');
}

function checkCel(cel: string, path: string, check: RepetitionCheck, { faults, named }: Found): void {
  const checked = hasTemplate(cel)
    ? { fault: 'is CEL, which has no templates', names: [] }
    : check.checks.expression(cel);
  if (checked.fault !== undefined) {
    faults.push({ path, message: checked.fault });
    return;
  }
  for (const name of checked.names) {
    if (check.names.actions.has(name)) named.add(name);
    else if (!check.variables.has(name)) {
      faults.push({
        path,
        message: `names '${name}', which is neither params, run nor an action${check.suggest(name)}`,
      });
    }
  }
}
