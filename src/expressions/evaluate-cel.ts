/** Evaluates one CEL expression in the calling thread. What tenants wrote is evaluated in threads that can be killed (`cel-thread.ts`). */
import { CelScalar, celEnv, celFunc, celMethod, isCelError, listType, plan } from '@bufbuild/cel';
import { strings } from '@bufbuild/cel/ext';
import type { Json } from '../schemas/json.ts';
import { toCel, toJson } from './cel-json.ts';
import { parseCel } from './check-cel.ts';

type Program = ReturnType<typeof plan>;

const KEPT_PROGRAMS = 500;
const { INT, DOUBLE, DYN } = CelScalar;
type Arithmetic = [name: string, apply: (left: number, right: number) => number];
const ARITHMETIC: Arithmetic[] = [
  ['_+_', (left, right) => left + right],
  ['_-_', (left, right) => left - right],
  ['_*_', (left, right) => left * right],
  ['_/_', (left, right) => left / right],
];
// A price is 2 today and 2.5 tomorrow: JSON does not tell ints from doubles, so arithmetic takes one of each.
const mixed = ARITHMETIC.flatMap(([name, apply]) => [
  celFunc(name, [INT, DOUBLE], DOUBLE, (left, right) => apply(Number(left), right)),
  celFunc(name, [DOUBLE, INT], DOUBLE, (left, right) => apply(left, Number(right))),
]);
// `matches` is CEL's own: an RE2 engine, whose time is linear in its input.
/** As cel-go's extension for lists has it, but that an end beyond the list is its end: `items.slice(0, 20)`. */
const slice = celMethod('slice', listType(DYN), [INT, INT], listType(DYN), function (from, to) {
  return [...this].slice(Math.max(0, Number(from)), Math.max(0, Number(to)));
});
const environment = celEnv({ funcs: [...strings, ...mixed, slice] });
const programs = new Map<string, Program>();

/** Read once for all of its evaluations here. A definition was checked for its length; what a template gives was not. */
function programOf(expression: string): Program {
  const cached = programs.get(expression);
  if (cached !== undefined) return cached;
  const { parsed, fault } = parseCel(expression);
  if (fault !== undefined || parsed === undefined) throw new Error(fault);
  const program = plan(environment, parsed);
  if (programs.size >= KEPT_PROGRAMS) programs.clear();
  programs.set(expression, program);
  return program;
}

/** Throws where the expression cannot be read, and where its result is none that JSON has. */
export function evaluateCel(expression: string, variables: Record<string, Json>): { value: Json } | { fault: string } {
  const bindings = Object.assign(
    Object.create(null) as Record<string, ReturnType<typeof toCel>>,
    Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, toCel(value)])),
  );
  const value = programOf(expression)(bindings);
  return isCelError(value) ? { fault: value.message } : { value: toJson(value) };
}
