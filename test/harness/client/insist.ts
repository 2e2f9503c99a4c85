/** Clients that repeat a request, with the same idempotency key, until somebody answers for good. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, type Headings, readAnswer } from './client.ts';

/** Not yet: the same request again. */
export const LATER: ReadonlySet<number> = new Set([429, 503]);

const ANSWER_MS = 8_000;

/** Undefined: no answer in time. */
export async function post(url: string, body: object, headers: Headings = {}): Promise<Answer | undefined> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    return await readAnswer(response);
  } catch {
    return undefined;
  }
}

/** The first answer that is not 503 or 429; undefined when there was none until that time, by performance.now(). */
export async function insist(
  request: () => Promise<Answer | undefined>,
  { everyMs, giveUpAt }: { everyMs: number; giveUpAt: number },
): Promise<Answer | undefined> {
  while (performance.now() < giveUpAt) {
    const answer = await request();
    if (answer !== undefined && !LATER.has(answer.status)) return answer;
    await sleep(everyMs);
  }
  return undefined;
}
