/** The Jobs that tasks have on a cluster, as the database knows them. */
import type { JobKey } from './domain.ts';

/** Of which task a Job is. */
export interface JobTask {
  runId: string;
  actionId: string;
  epoch: number;
}

export interface KubernetesJobs {
  /** Of this installation; made when it is first needed. */
  installation(): Promise<string>;
  /**
   * Stores, before anything is applied, that the task has such a Job, unless that is stored already. False:
   * nobody wants it any more, as the run has ended or is being cancelled.
   */
  open(key: JobKey, task: JobTask): Promise<boolean>;
  /** Some Jobs that nobody wants any more; for a while no other worker gets them. */
  claimUnwanted(limit: number): Promise<JobKey[]>;
  remove(keys: readonly JobKey[]): Promise<void>;
  /** Jobs of a namespace whose tasks have completed since: they stay until the cluster removes them. */
  completed(namespace: string): Promise<string[]>;
  /** Which of these names in a namespace have a row. */
  known(namespace: string, names: readonly string[]): Promise<ReadonlySet<string>>;
}
