/** Requests of a client with some patience: an answer that does not come in that time is a fault of the service. */
import { type Answer, type Headings, readAnswer } from '../../harness/client/client.ts';

/** More than the API itself waits for anything, with room for a machine that is busy with other things. */
const PATIENCE_MS = 15_000;

export interface Asking {
  /** Undefined: no answer in time, which is written down. */
  post(path: string, body: object, headers?: Headings): Promise<Answer | undefined>;
  get(path: string): Promise<Answer | undefined>;
  /** Requests that had no answer. */
  unanswered: readonly string[];
}

export function asking(apiUrl: string): Asking {
  const unanswered: string[] = [];
  async function send(path: string, init: RequestInit): Promise<Answer | undefined> {
    try {
      const response = await fetch(`${apiUrl}${path}`, { ...init, signal: AbortSignal.timeout(PATIENCE_MS) });
      return await readAnswer(response);
    } catch (error) {
      unanswered.push(`${init.method} ${path}: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  }
  return {
    unanswered,
    get: (path) => send(path, { method: 'GET' }),
    post: (path, body, headers = {}) =>
      send(path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      }),
  };
}

/** What is wrong with an answer, whatever goes on: it is an outcome, or a problem that says when to ask again. */
export function problemOf({ status, headers, text }: Answer): string | undefined {
  if (status === 503 || status === 429) {
    if (!(headers.get('content-type') ?? '').includes('application/problem+json'))
      return `${status} is no problem document`;
    return headers.get('retry-after') === null ? `${status} does not say when to ask again` : undefined;
  }
  return status >= 500 ? `${status}: ${text.slice(0, 300)}` : undefined;
}
