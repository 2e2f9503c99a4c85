/**
 * A thread that evaluates expressions, and that checks texts of tenants before they are accepted. It has no data but
 * that of its requests, and may be killed at any moment.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { answerOf, type Question } from '../domain/texts/checks.ts';
import type { Json } from '../schemas/json.ts';
import { createDirectChecks } from './direct-checks.ts';
import { evaluateCel } from './evaluate-cel.ts';
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

const checks = createDirectChecks();

function answer(request: ThreadRequest, maxResultBytes: number): ThreadAnswer {
  try {
    if ('questions' in request) {
      return { result: JSON.stringify(request.questions.map((question) => answerOf(question, checks))) };
    }
    const { expression, variables } = request;
    const evaluated = evaluateCel(expression, variables);
    if ('fault' in evaluated) return evaluated;
    const result = JSON.stringify(evaluated.value);
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
