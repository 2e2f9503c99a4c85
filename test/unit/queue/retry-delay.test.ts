/** How long the workers of a queue rest after an error of its connection: as long as their end waits for them. */
import { expect, test } from 'vitest';
import type { Backend } from '../../../src/queue/backend.ts';
import { openScheduleTicks } from '../../../src/queue/schedule-ticks.ts';
import { openTestBackend } from '../../support/queue-backend.ts';

test('the worker of the ticks goes on, and ends, a second after its queue could not be reached', async () => {
  const backend = openTestBackend({ databaseUrl: 'postgres://nobody@127.0.0.1:1/none' });
  const delays: unknown[] = [];
  const watched: Backend = {
    ...backend,
    worker(...args) {
      const worker = backend.worker(...args);
      delays.push(worker.opts.runRetryDelay);
      return worker;
    },
  };
  const ticks = openScheduleTicks(watched, { lockDurationMs: 1_000, stalledIntervalMs: 1_000 }, async () => undefined);
  await ticks.close();
  await backend.close();
  expect(delays).toEqual([1_000]);
});
