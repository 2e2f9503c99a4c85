/** What is compared: one way to run a workload, from the first request to the last result. */
import type { Usage } from './usage.ts';
import type { Workload } from './workloads.ts';

export interface Side {
  id: string;
  title: string;
  /** Runs that many, and resolves to the milliseconds from the first request to the last result. */
  run(workload: Workload, runs: number): Promise<number>;
  /** Milliseconds from request to result, one run after the other. Left out where it says nothing new. */
  latencies?(workload: Workload, samples: number): Promise<number[]>;
  /** Its processes by name; what only makes the load is not among them. */
  usage(): Record<string, Usage>;
  /** Whether PostgreSQL has a part in it. */
  countsStatements: boolean;
  stop(): Promise<void>;
}
