/**
 * Jobs without children, from all callers that add one in the same tick of the event loop, together for each queue. A flow of
 * one job needs no transaction, and `Queue.addBulk`, unlike that of the FlowProducer, rejects when one of its jobs
 * cannot be added; then all callers get the error, although some of their jobs may be there. To add them again is
 * harmless: their ids are the same.
 */
import type { BulkJobOptions } from 'bullmq';
import type { JobData } from '../schemas/job.ts';
import type { LaneQueue } from './backend.ts';

export interface SingleJob {
  name: string;
  data: JobData;
  opts: BulkJobOptions;
}

/** In one go: its commands are made in one tick of the event loop and occupy the connection, while others wait for both. */
const JOBS_AT_ONCE = 50;

export function createSingleJobs(
  queueOf: (name: string) => LaneQueue,
): (queue: string, jobs: readonly SingleJob[]) => Promise<unknown> {
  const open = new Map<string, { jobs: SingleJob[]; added: Promise<unknown> }>();

  return (queue, more) => {
    const batch = open.get(queue);
    if (batch !== undefined) {
      batch.jobs.push(...more);
      return batch.added;
    }
    const jobs = [...more];
    const added = new Promise<void>((resolve) => setImmediate(resolve)).then(async () => {
      open.delete(queue);
      for (let at = 0; at < jobs.length; at += JOBS_AT_ONCE) {
        await queueOf(queue).addBulk(jobs.slice(at, at + JOBS_AT_ONCE));
      }
    });
    open.set(queue, { jobs, added });
    return added;
  };
}
