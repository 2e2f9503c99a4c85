/** What the benchmark and the process that runs BullMQ alone tell each other. */
import type { Workload } from './workloads.ts';

export interface Settings {
  redisUrl: string;
  /** Given: one INSERT for each result. */
  databaseUrl: string | undefined;
  prefix: string;
}

export type Order =
  | { do: 'run'; workload: Workload; runs: number }
  | { do: 'latencies'; workload: Workload; samples: number };

export type Reply = { ready: true } | { ms: number } | { latencies: number[] } | { error: string };
