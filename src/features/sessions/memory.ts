/** What is remembered of the rounds of sessions: best effort, as a session goes on without it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { AdapterContext } from '../../../workers/adapter.ts';
import { endpointOf } from '../../domain/service-address.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { OutboundAnswer } from '../../egress/answer.ts';
import type { Egress } from '../../egress/egress.ts';
import { basicAuthorization } from '../../egress/post-json.ts';
import { within } from '../../engine/deliver/time-limit.ts';
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
export function createMemory(url: string | undefined, fetch: Egress['fetch'], failed: () => void): Memory {
  async function persistently<T>(
    context: AdapterContext,
    what: string,
    exchange: (signal: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    const until = performance.now() + LIMIT_MS;
    let reason = '';
    for (let attempt = 1; attempt <= TRIES && performance.now() < until; attempt += 1) {
      if (attempt > 1) await sleep(BETWEEN_MS * attempt, undefined, { signal: context.signal });
      try {
        return await exchange(within(TRY_MS, context.signal));
      } catch (error) {
        // The attempt itself is over.
        context.signal.throwIfAborted();
        reason = errorMessage(error);
      }
    }
    failed();
    context.log.warn('memory_failed', { call: what, error: reason });
    return undefined;
  }

  return {
    async remember(context, key, value) {
      if (url === undefined) return false;
      const body = JSON.stringify({ key, value: bounded(value) });
      const headers = { ...basicAuthorization(url), 'content-type': 'application/json' };
      const target = addressOf(url, '/v1/remember');
      const done = await persistently(context, 'remember', async (signal) => {
        requireGood(await fetch(target, { ...COMMON, method: 'POST', headers, body, signal }));
        return true;
      });
      return done === true;
    },
    async recall(context, key) {
      if (url === undefined) return null;
      const target = addressOf(url, `/v1/recall/${encodeURIComponent(key)}`);
      const found = await persistently(context, 'recall', async (signal) => {
        const answer = await fetch(target, { ...COMMON, headers: basicAuthorization(url), signal });
        if (answer.status === 404) return null;
        const text = await requireGood(answer).text();
        return (recalled.parse(JSON.parse(text)).value ?? null) as Json; // Of JSON.
      });
      return found ?? null;
    },
  };
}

/** Its address comes from the configuration, and so does its certificate. An answer that is longer is an error. */
const COMMON = { trusted: true, certificateFor: { own: 'memory' }, maxBytes: MAX_BYTES } as const;

/** `url` may end in the path of either call. */
function addressOf(url: string, path: string): string {
  const base = new URL(url);
  base.pathname = base.pathname.replace(/\/+$/, '').replace(/\/v1(?:\/remember|\/recall)?$/, '');
  return endpointOf(base.href, path).href;
}

function requireGood(answer: OutboundAnswer): OutboundAnswer {
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
