/**
 * Every answer of the API that a test gets by `fetch`, by whatever client, is compared with contracts/openapi.yaml; a test
 * fails whose answers are not as the document says. Answers of other servers are not looked at: ours name their request.
 */
import { afterAll, afterEach } from 'vitest';
import { type AnswerCheck, createAnswerCheck } from './answer-check.ts';
import { readContract } from './document.ts';

interface Checked {
  wrong: Set<string>;
}

/** Modules are loaded again for each file, in one process. */
const MARK = Symbol.for('answers are compared with the document');
const OURS = ['x-request-id', 'traceparent'];

const known = (globalThis as { [MARK]?: Checked })[MARK];
const checked = known ?? observeFetch();
(globalThis as { [MARK]?: Checked })[MARK] = checked;

afterEach(rejectWrongAnswers);
afterAll(rejectWrongAnswers);

/** What was wrong since the last call. */
export function takeWrongAnswers(): string[] {
  const wrong = [...checked.wrong];
  checked.wrong.clear();
  return wrong;
}

function rejectWrongAnswers(): void {
  const wrong = takeWrongAnswers();
  if (wrong.length > 0) throw new Error(`answers differ from contracts/openapi.yaml:\n${wrong.join('\n')}`);
}

function observeFetch(): Checked {
  const wrong = new Set<string>();
  let check: AnswerCheck | undefined;
  const fetchIt = globalThis.fetch;
  globalThis.fetch = async (input, init) => {
    const response = await fetchIt(input, init);
    if (!OURS.every((name) => response.headers.has(name))) return response;
    check ??= createAnswerCheck(readContract());
    const asked = init?.method ?? (input instanceof Request ? input.method : 'GET');
    const contentType = response.headers.get('content-type');
    // What goes on, and what is long, is the reader's; of the others nothing is lost by a second reader.
    const isWhole = /json|html|yaml/.test(contentType ?? '') && !/ndjson/.test(contentType ?? '');
    const text = contentType === null ? '' : isWhole ? await response.clone().text() : undefined;
    const fault = check({
      method: response.redirected ? 'GET' : asked,
      path: new URL(response.url).pathname,
      status: response.status,
      contentType,
      text,
    });
    if (fault !== undefined) wrong.add(fault);
    return response;
  };
  return { wrong };
}
