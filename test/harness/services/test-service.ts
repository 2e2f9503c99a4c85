/**
 * The world outside: a real HTTP service that keeps every call and the answer it gave. What it does is told by the body:
 * how long it works, and whether it fails, always or the first time. Every good answer carries a number of its own, so
 * that an output can be traced to the one call that gave it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { OutsideCall } from '../checker/calls.ts';
import { startService } from './service.ts';

const asked = z.object({
  n: z.int(),
  from: z.array(z.unknown()),
  work_ms: z.number(),
  behave: z.enum(['succeed', 'fail', 'flaky']),
});

export interface TestService {
  url: string;
  calls: OutsideCall[];
  /** Instead of what the body says: for a scenario that answers by hand. `undefined`: as the body says. */
  answer(answering: (call: OutsideCall, nth: number) => Promise<{ status: number } | undefined>): void;
  close(): Promise<void>;
}

export async function openTestService(): Promise<TestService> {
  const calls: OutsideCall[] = [];
  const countOf = new Map<string, number>();
  let given = 0;
  let byHand: ((call: OutsideCall, nth: number) => Promise<{ status: number } | undefined>) | undefined;

  const { url, close } = await startService(async ({ idempotencyKey: key, body, at }) => {
    const arrived = Math.round(Date.now() - (performance.now() - at));
    const call: OutsideCall = { key, body, at: arrived, answer: undefined };
    calls.push(call);
    const nth = (countOf.get(key ?? '') ?? 0) + 1;
    countOf.set(key ?? '', nth);
    const { n, from, work_ms: workMs, behave } = asked.parse(body);
    const told = await byHand?.(call, nth);
    if (told === undefined && workMs > 0) await sleep(workMs);
    const status = told?.status ?? (behave === 'fail' || (behave === 'flaky' && nth === 1) ? 503 : 200);
    given += 1;
    const answer = status === 200 ? { n, from, given } : { error: `call ${nth} fails` };
    // Kept before it is sent: what arrives was given for certain.
    call.answer = { status, body: answer };
    return { status, body: answer };
  });
  return {
    url,
    close,
    calls,
    answer(answering) {
      byHand = answering;
    },
  };
}
