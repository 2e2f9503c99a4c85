/** Whether the parameters that a workflow declares make sense. */
import { PROTOTYPE_NAMES } from '../../schemas/json-guard.ts';
import type { Checks } from '../texts/checks.ts';
import type { Parameter } from './definition.ts';
import type { FaultList } from './fault-list.ts';
import { hasType, valueFaults } from './parameters.ts';

type PatternChecks = Pick<Checks, 'patternFault' | 'matches'>;

export function checkDeclaration(parameters: readonly Parameter[], checks: PatternChecks, faults: FaultList): void {
  const firstAt = new Map<string, number>();
  for (const [index, parameter] of parameters.entries()) {
    const before = firstAt.get(parameter.name);
    if (before !== undefined)
      faults.add(`parameters.${index}.name`, `'${parameter.name}' is already the name of parameters.${before}`);
    else firstAt.set(parameter.name, index);
    if (PROTOTYPE_NAMES.has(parameter.name))
      faults.add(`parameters.${index}.name`, `'${parameter.name}' is not allowed`);
    checkOne(parameter, `parameters.${index}`, checks, faults);
  }
}

function checkOne(parameter: Parameter, path: string, checks: PatternChecks, faults: FaultList): void {
  const { type, min_length: least, max_length: most, pattern } = parameter;
  if ((least !== undefined || most !== undefined) && type !== 'string' && type !== 'array') {
    faults.add(path, `min_length and max_length are for strings and arrays, not for type ${type}`);
  }
  if (least !== undefined && most !== undefined && least > most)
    faults.add(`${path}.min_length`, `is more than max_length ${most}`);
  if (pattern !== undefined && type !== 'string') faults.add(`${path}.pattern`, `is for strings, not for type ${type}`);
  const badPattern = pattern === undefined ? undefined : checks.patternFault(pattern);
  if (badPattern !== undefined) faults.add(`${path}.pattern`, badPattern);
  const listsItems = type === 'array' && parameter.enum?.some(Array.isArray) !== true;
  for (const [at, value] of (parameter.enum ?? []).entries()) {
    if (!listsItems && !hasType(type, value)) faults.add(`${path}.enum.${at}`, `is not of type ${type}`);
  }
  if (parameter.default === undefined || badPattern !== undefined) return;
  for (const message of valueFaults(parameter, parameter.default, checks)) faults.add(`${path}.default`, message);
}
