/** When a lane starts the jobs that it fetches: BullMQ alone would fetch until all slots are taken, and only then start them. */
import { afterEach, describe, expect, test } from 'vitest';
import { createJobsInHand } from '../../src/engine/deliver/jobs-in-hand.ts';
import type { Backend } from '../../src/queue/backend.ts';
import { openLane } from '../../src/queue/lane.ts';
import { JOB_VERSION } from '../../src/schemas/job.ts';
import { createTestLog } from '../harness/test-log.ts';
import { until } from '../harness/until.ts';
import { openTestBackend } from '../support/queue-backend.ts';
import { createTestDatabase, testRedisUrl } from '../support/servers.ts';

const JOBS = 60;
const SLOTS = 50;

const undo: Array<() => Promise<unknown>> = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

describe.each(['redis', 'postgres'])('a lane on %s', (kind) => {
  test('starts jobs before it has fetched what its slots could take, and takes as many at once as it has slots', async () => {
    const { url, drop } = await createTestDatabase();
    undo.push(drop);
    const log = createTestLog();
    const backend = openTestBackend({ redisUrl: kind === 'redis' ? testRedisUrl() : undefined, databaseUrl: url });
    undo.push(() => backend.close());
    const queue = backend.queue('lane');
    undo.push(() => queue.close());
    const data = { v: JOB_VERSION, run_id: 'r', epoch: 1, gen: 0, action_id: 'a', of: { action_type: 'lane' } };
    await queue.addBulk(Array.from({ length: JOBS }, () => ({ name: 'lane', data })));

    let fetched = 0;
    const fetchedAtFirst: number[] = [];
    const counting: Backend = {
      ...backend,
      worker(...args) {
        const worker = backend.worker(...args);
        worker.on('active', () => {
          fetched += 1;
          // A fetch takes a millisecond at least, however fast the machine is.
          for (const at = performance.now(); performance.now() < at + 1; );
        });
        return worker;
      },
    };
    let allStarted: () => void = () => undefined;
    const started = new Promise<void>((resolve) => {
      allStarted = resolve;
    });
    let handled = 0;
    let most = 0;
    const lane = openLane({
      backend: counting,
      queue: 'lane',
      concurrency: SLOTS,
      lockDurationMs: 30_000,
      stalledIntervalMs: 30_000,
      rateLimit: undefined,
      now: Date.now,
      async handle() {
        fetchedAtFirst.push(fetched);
        most = Math.max(most, lane.active());
        // Nobody goes on before all slots are taken.
        if (lane.active() === SLOTS) allStarted();
        await started;
        handled += 1;
        return { job: 'complete' };
      },
      isPassing: () => false,
      storesReasons: true,
      onLost: async () => undefined,
      inHand: createJobsInHand({ lockDurationMs: 30_000, now: () => performance.now(), log }),
      log,
    });
    undo.push(() => lane.close());
    await until(() => handled === JOBS, { what: 'all jobs have been handled' });
    expect(fetchedAtFirst[0]).toBeLessThan(SLOTS);
    expect(most).toBe(SLOTS);
  });
});
