/**
 * A thread that evaluates expressions, and that checks texts of tenants before they are accepted. It has no data but
 * that of its requests, and may be killed at any moment.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { CelScalar, celEnv, celFunc, celMethod, isCelError, listType, plan } from '@bufbuild/cel';
import { strings } from '@bufbuild/cel/ext';
import { answerOf, type Question } from '../domain/texts/checks.ts';
import type { Json } from '../schemas/json.ts';
import { toCel, toJson } from './cel-json.ts';
import { parseCel } from './check-cel.ts';
import { createDirectChecks } from './direct-checks.ts';
import { yieldToOthers } from './thread-cpu.ts';

export interface ThreadData {
  maxResultBytes: number;
}
export type ThreadRequest =
  | { expression: string; variables: Record<string, Json> }
  /** The result is the list of their answers. */
  | { questions: readonly Question[] };
/** `thread`: its number for the system, where the system counts how long it runs. */
export type ThreadAnswer = { ready: true; thread: number | undefined } | { result: string } | { fault: string };
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
const checks = createDirectChecks();

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

function answer(request: ThreadRequest, maxResultBytes: number): ThreadAnswer {
  try {
    if ('questions' in request) {
      return { result: JSON.stringify(request.questions.map((question) => answerOf(question, checks))) };
    }
    const { expression, variables } = request;
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

const { maxResultBytes } = workerData as ThreadData; // Set by thread-pool.ts, the only one to start this thread.
parentPort?.on('message', (request: ThreadRequest) => {
  parentPort?.postMessage(answer(request, maxResultBytes) satisfies ThreadAnswer);
});
// It loads as fast as it can: others wait for it until then.
parentPort?.postMessage({ ready: true, thread: yieldToOthers() } satisfies ThreadAnswer);
