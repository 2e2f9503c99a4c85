/** The ticks of schedules: one BullMQ job scheduler, whose job wakes whichever worker takes it. What is due PostgreSQL knows. */
import type { ScheduleTicks } from '../engine/ports/queue.ts';
import type { JobData } from '../schemas/job.ts';
import type { Backend } from './backend.ts';

const QUEUE = 'schedules';
const TICK = 'tick';
const EVERY_MS = 1_000;

export function openScheduleTicks(
  backend: Backend,
  locks: { lockDurationMs: number; stalledIntervalMs: number },
  onTick: () => Promise<unknown>,
): ScheduleTicks & { ready(): Promise<unknown>; close(): Promise<void> } {
  const queue = backend.queue(QUEUE);
  const worker = backend.worker(
    QUEUE,
    async () => {
      await onTick();
      return null;
    },
    // A tick that died with its worker is over as soon as any other job.
    { concurrency: 1, lockDuration: locks.lockDurationMs, stalledInterval: locks.stalledIntervalMs },
  );
  return {
    ready: () => worker.waitUntilReady(),
    isOn: async () => (await queue.getJobScheduler(TICK)) !== undefined,
    async turnOn() {
      await queue.upsertJobScheduler(
        TICK,
        { every: EVERY_MS },
        {
          name: TICK,
          // A tick says nothing: it belongs to no run.
          data: {} as JobData,
          opts: { removeOnComplete: true, removeOnFail: true },
        },
      );
    },
    async turnOff() {
      await queue.removeJobScheduler(TICK);
    },
    async close() {
      await worker.close();
      await queue.close();
    },
  };
}
