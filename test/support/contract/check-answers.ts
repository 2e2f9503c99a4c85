/**
 * Every answer of the API that a test gets by `fetch`, by whatever client, is compared with contracts/openapi.yaml; a test
 * fails whose answers are not as the document says. Answers of other servers are not looked at: ours name their request.
 */
import { afterAll, afterEach } from 'vitest';
import { contract, noteWrong, takeWrong } from './observed.ts';

const MARK = Symbol.for('fetch is observed');
const OURS = ['x-request-id', 'traceparent'];

// A setup file is loaded for each file of tests, and the process is one.
if (!Object.hasOwn(globalThis.fetch, MARK))
  globalThis.fetch = Object.assign(observing(globalThis.fetch), { [MARK]: true });

afterEach(rejectWrong);
afterAll(rejectWrong);

/** Afterwards: clients that repeat requests would swallow what is thrown here. */
function rejectWrong(): void {
  const wrong = takeWrong();
  if (wrong.length > 0) throw new Error(`the API differs from contracts/openapi.yaml:\n${wrong.join('\n')}`);
}

function observing(original: typeof fetch): typeof fetch {
  return async (input, init) => {
    const response = await original(input, init);
    if (!OURS.every((name) => response.headers.has(name))) return response;
    const method = init?.method ?? (input instanceof Request ? input.method : 'GET');
    const contentType = response.headers.get('content-type');
    noteWrong(
      contract().check({
        method: response.redirected ? 'GET' : method,
        path: new URL(response.url).pathname,
        status: response.status,
        contentType,
        text: contentType === null ? '' : await textOf(response, contentType),
      }),
    );
    return response;
  };
}

/** Undefined: it goes on, or is long, and so is the reader's alone. */
async function textOf(response: Response, contentType: string): Promise<string | undefined> {
  const isWhole = /json|html|yaml/.test(contentType) && !contentType.includes('ndjson');
  return isWhole ? response.clone().text() : undefined;
}
