/** What is remembered of the rounds of sessions: best effort, as a session goes on without it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { AdapterContext, AdapterResponse } from '../../../workers/adapter.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';

const TRIES = 3;
const LIMIT_MS = 5_000;
const TRY_MS = 1_500;
const BETWEEN_MS = 200;
const MAX_BYTES = 65_536;

export interface Memory {
  /** False: it was not remembered. */
  remember(context: AdapterContext, key: string, value: Remembered): Promise<boolean>;
  /** Null: nothing is remembered, or nobody knows. */
  recall(context: AdapterContext, key: string): Promise<Json>;
}

export interface Remembered {
  prompt: string;
  completion: string;
  model: string;
  at: string;
}

const recalled = z.looseObject({ value: z.unknown() });

/** `failed`: counts what was given up. */
export function createMemory(url: string | undefined, failed: () => void): Memory {
  const base = url?.replace(/\/+$/, '').replace(/\/v1(?:\/remember|\/recall)?$/, '');

  async function persistently<T>(
    context: AdapterContext,
    path: string,
    exchange: (url: string, signal: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    const until = performance.now() + LIMIT_MS;
    let reason = '';
    for (let attempt = 1; attempt <= TRIES && performance.now() < until; attempt += 1) {
      if (attempt > 1) await sleep(BETWEEN_MS * attempt, undefined, { signal: context.signal });
      try {
        return await exchange(`${base}${path}`, AbortSignal.any([context.signal, AbortSignal.timeout(TRY_MS)]));
      } catch (error) {
        // The attempt itself is over.
        context.signal.throwIfAborted();
        reason = errorMessage(error);
      }
    }
    failed();
    context.log.warn('memory_failed', { path: path.split('/')[2], error: reason });
    return undefined;
  }

  return {
    async remember(context, key, value) {
      if (base === undefined) return false;
      const body = JSON.stringify({ key, value: bounded(value) });
      const done = await persistently(context, '/v1/remember', async (target, signal) => {
        const headers = { 'content-type': 'application/json' };
        requireGood(await context.fetch(target, { ...COMMON, method: 'POST', headers, body, signal }));
        return true;
      });
      return done === true;
    },
    async recall(context, key) {
      if (base === undefined) return null;
      const found = await persistently(context, `/v1/recall/${encodeURIComponent(key)}`, async (target, signal) => {
        const answer = await context.fetch(target, { ...COMMON, signal });
        if (answer.status === 404) return null;
        const text = await requireGood(answer).text();
        if (Buffer.byteLength(text) > MAX_BYTES) throw new Error(`more than ${MAX_BYTES} bytes were remembered`);
        return (recalled.parse(JSON.parse(text)).value ?? null) as Json; // Of JSON.
      });
      return found ?? null;
    },
  };
}

/** Its address comes from the configuration. */
const COMMON = { trusted: true, service: 'memory_gateway' } as const;

function requireGood(answer: AdapterResponse): AdapterResponse {
  if (answer.status >= 200 && answer.status < 300) return answer;
  throw new Error(`the memory gateway answered ${answer.status}`);
}

/** Its texts are cut until it fits. */
function bounded({ prompt, completion, ...rest }: Remembered): JsonObject {
  for (let length = Math.max(prompt.length, completion.length); ; length = Math.floor(length / 2)) {
    const value = { prompt: prompt.slice(0, length), completion: completion.slice(0, length), ...rest };
    if (Buffer.byteLength(JSON.stringify(value)) <= MAX_BYTES || length === 0) return value;
  }
}
