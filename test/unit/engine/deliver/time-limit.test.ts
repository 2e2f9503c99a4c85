import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { firstOf, within } from '../../../../src/engine/deliver/time-limit.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void; // What the flag makes.

const forever = () => new AbortController().signal;

test.each([
  ['of our own', () => within(300, forever())],
  ['of somebody else', () => firstOf(forever(), AbortSignal.timeout(300))],
])('a deadline %s comes although nobody but the signal knows of it', async (_, make) => {
  const aborted = once(make(), 'abort');
  for (let n = 0; n < 5; n += 1) {
    await sleep(20);
    collect();
  }
  const [event] = await aborted;
  expect((event as Event).target).toMatchObject({ aborted: true, reason: { name: 'TimeoutError' } });
});

test('whichever of the others comes first is the reason', () => {
  const [first, second] = [new AbortController(), new AbortController()];
  const signal = within(60_000, first.signal, second.signal);
  second.abort('enough');
  expect(signal.reason).toBe('enough');
});
