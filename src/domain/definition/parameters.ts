/** Checks what a client gives for the parameters that a workflow declares. */
import { isDeepStrictEqual } from 'node:util';
import { MAX_FAULTS } from '../../schemas/faults.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import { didYouMean } from '../../schemas/nearest.ts';
import { type FieldFault, OrchestratorError } from '../errors.ts';
import { shorten } from '../templates/template-syntax.ts';
import type { Checks } from '../texts/checks.ts';
import { matchedLengthFault } from '../texts/patterns.ts';
import type { Parameter } from './definition.ts';

/** The first faults stand in the detail, for clients that read nothing else. */
const DETAILED_FAULTS = 20;

/**
 * The values with the defaults filled in, or `parameter_validation_failed` with every fault at once. Null counts as
 * not given. A parameter that is not declared stays and is named in `warnings`, or with `strict` is a fault.
 */
export function checkParameters(
  declared: readonly Parameter[],
  supplied: JsonObject,
  strict: boolean,
  checks: Pick<Checks, 'matches'>,
): { values: JsonObject; warnings: string[] } {
  const values = new Map<string, Json>();
  const faults: FieldFault[] = [];
  const warnings: string[] = [];
  const names = new Set(declared.map((parameter) => parameter.name));

  for (const parameter of declared) {
    const value = Object.hasOwn(supplied, parameter.name) ? (supplied[parameter.name] ?? null) : null;
    if (value !== null) {
      values.set(parameter.name, value);
      for (const message of valueFaults(parameter, value, checks))
        faults.push({ path: `parameters.${parameter.name}`, message });
    } else if (parameter.default !== undefined) {
      values.set(parameter.name, parameter.default);
    } else if (parameter.required) {
      faults.push({ path: `parameters.${parameter.name}`, message: 'is required' });
    }
  }
  for (const [name, value] of Object.entries(supplied)) {
    if (names.has(name)) continue;
    values.set(name, value);
    if (strict) faults.push({ path: `parameters.${name}`, message: `is not declared${didYouMean(name, names)}` });
    else warnings.push(`Parameter '${name}' is not declared by the workflow`);
  }

  if (faults.length > 0) throw failure(faults);
  return { values: Object.fromEntries(values), warnings };
}

/** What is wrong with a value for a parameter, in words that follow its name. */
export function valueFaults(parameter: Parameter, value: Json, checks: Pick<Checks, 'matches'>): string[] {
  if (!hasType(parameter.type, value)) return [`must be ${articled(parameter.type)}, not ${shown(value)}`];
  const faults: string[] = [];
  if (parameter.enum !== undefined) faults.push(...enumFaults(parameter.enum, value));
  const size = sizeOf(value);
  const { min_length: least, max_length: most, pattern } = parameter;
  const unit = typeof value === 'string' ? 'characters' : 'items';
  if (size !== undefined && least !== undefined && size < least) {
    faults.push(`must have at least ${least} ${unit}, not ${size}`);
  }
  if (size !== undefined && most !== undefined && size > most) {
    faults.push(`must have at most ${most} ${unit}, not ${size}`);
  }
  if (pattern !== undefined && typeof value === 'string') {
    const tooLong = matchedLengthFault(value);
    if (tooLong !== undefined) faults.push(tooLong);
    else if (!checks.matches(pattern, value)) faults.push(`must match the pattern ${pattern}, not ${shown(value)}`);
  }
  return faults;
}

/** For a list the allowed values may be those of its items. */
function enumFaults(allowed: readonly Json[], value: Json): string[] {
  const isAllowed = (one: Json) => allowed.some((other) => isDeepStrictEqual(other, one));
  const words = allowed.slice(0, 50).map(shown).join(', ');
  if (!Array.isArray(value) || allowed.some(Array.isArray))
    return isAllowed(value) ? [] : [`must be one of ${words}, not ${shown(value)}`];
  const wrong = value.find((item) => !isAllowed(item));
  return wrong === undefined ? [] : [`may only hold ${words}, not ${shown(wrong)}`];
}

export function hasType(type: Parameter['type'], value: Json): boolean {
  switch (type) {
    case 'string':
    case 'boolean':
      return typeof value === type;
    case 'number':
      return typeof value === 'number';
    case 'integer':
      return Number.isInteger(value);
    case 'array':
      return Array.isArray(value);
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value);
  }
}

function sizeOf(value: Json): number | undefined {
  if (Array.isArray(value)) return value.length;
  if (typeof value !== 'string') return undefined;
  let characters = 0;
  for (let at = 0; at < value.length; at += (value.codePointAt(at) ?? 0) > 0xffff ? 2 : 1) characters++;
  return characters;
}

function articled(type: string): string {
  return /^[aeio]/.test(type) ? `an ${type}` : `a ${type}`;
}

function shown(value: Json): string {
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object' && value !== null) return 'an object';
  return shorten(JSON.stringify(value));
}

function failure(faults: readonly FieldFault[]): OrchestratorError {
  const named = faults
    .slice(0, DETAILED_FAULTS)
    .map((fault) => `${fault.path.slice('parameters.'.length)} ${fault.message}`);
  const rest = faults.length > DETAILED_FAULTS ? `; and ${faults.length - DETAILED_FAULTS} more` : '';
  return new OrchestratorError(
    'parameter_validation_failed',
    `Parameter validation failed: ${named.join('; ')}${rest}`,
    {
      errors: faults.slice(0, MAX_FAULTS),
    },
  );
}
