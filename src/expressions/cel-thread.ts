/** The thread that evaluates. It knows nothing but the expression and its variables, and may be killed at any moment. */

import { parentPort, workerData } from 'node:worker_threads';
import { CelScalar, celEnv, celFunc, celMethod, isCelError, listType, parse, plan } from '@bufbuild/cel';
import { strings } from '@bufbuild/cel/ext';
import type { Json } from '../schemas/json.ts';
import { toCel, toJson } from './cel-json.ts';

export interface ThreadData {
  maxResultBytes: number;
}
export interface ThreadRequest {
  expression: string;
  variables: Record<string, Json>;
}
export type ThreadAnswer = { ready: true } | { result: string } | { fault: string };
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

function programOf(expression: string): Program {
  const known = programs.get(expression);
  if (known !== undefined) return known;
  const program = plan(environment, parse(expression));
  if (programs.size >= KEPT_PROGRAMS) programs.clear();
  programs.set(expression, program);
  return program;
}

function evaluate({ expression, variables }: ThreadRequest, maxResultBytes: number): ThreadAnswer {
  try {
    const bindings = Object.assign(
      Object.create(null) as Record<string, ReturnType<typeof toCel>>,
      Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, toCel(value)])),
    );
    const value = programOf(expression)(bindings);
    if (isCelError(value)) return { fault: value.message };
    const result = JSON.stringify(toJson(value));
    if (Buffer.byteLength(result) > maxResultBytes)
      return { fault: `the result is larger than ${maxResultBytes} bytes` };
    return { result };
  } catch (error) {
    return { fault: error instanceof RangeError || !(error instanceof Error) ? 'it needs too much' : error.message };
  }
}

const { maxResultBytes } = workerData as ThreadData; // Set by expressions.ts, the only one to start this thread.
parentPort?.on('message', (request: ThreadRequest) => {
  parentPort?.postMessage(evaluate(request, maxResultBytes) satisfies ThreadAnswer);
});
parentPort?.postMessage({ ready: true } satisfies ThreadAnswer);
