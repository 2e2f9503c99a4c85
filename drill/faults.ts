/** What is done to the stack, one after the other. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Stack } from './stack.ts';

export interface Fault {
  title: string;
  /** Resolves when what was broken is there again. */
  inject(stack: Stack): Promise<void>;
}

async function killWorkers(stack: Stack, count: number): Promise<void> {
  const victims = stack.workers.slice(0, count);
  for (const worker of victims) worker.signal('SIGKILL');
  await Promise.all(victims.map(({ ended }) => ended));
  // As a supervisor does.
  for (const _ of victims) await stack.startWorker();
}

const FAULTS: Fault[] = [
  { title: 'a worker is killed', inject: (stack) => killWorkers(stack, 1) },
  { title: 'all workers are killed', inject: (stack) => killWorkers(stack, stack.workers.length) },
  { title: 'the API is killed', inject: (stack) => stack.restartApi() },
  { title: 'PostgreSQL crashes and restarts', inject: (stack) => stack.restartPostgres() },
  {
    title: 'a worker is stopped for longer than its lock, then goes on',
    async inject(stack) {
      const [worker] = stack.workers;
      worker?.signal('SIGSTOP');
      await sleep(stack.lockMs * 1.25);
      worker?.signal('SIGCONT');
    },
  },
];
const REDIS_FAULTS: Fault[] = [
  {
    title: 'Redis is wiped',
    inject: async (stack) => {
      await stack.redis?.flushall();
    },
  },
  { title: 'Redis is killed and loses its newest writes', inject: (stack) => stack.loseTailOfRedis() },
];

export function faultsOf(stack: Stack): Fault[] {
  return stack.backend === 'redis' ? [...REDIS_FAULTS, ...FAULTS] : FAULTS;
}
