/** The data of a job: ids, never payloads, so that the memory of the queue does not grow with parameters or outputs. */
import { z } from 'zod';

/** A worker that does not know the version of a job gives it back with a delay. */
export const JOB_VERSION = 1;

export const jobData = z.object({
  v: z.number(),
  run_id: z.string(),
  epoch: z.int(),
  /** 0: the API's own first add of the run; higher: added again after a decision to do so. */
  gen: z.int(),
  /** null: the finalizer. */
  action_id: z.string().nullable(),
  /** Where the definition is: a version of a workflow, or the few words that make a one-action definition. */
  of: z.union([
    z.object({ workflow_id: z.string(), version: z.int() }),
    z.object({
      action_type: z.string(),
      max_attempts: z.int().optional(),
      timeout_seconds: z.number().optional(),
      initial_delay_seconds: z.number().optional(),
      multiplier: z.number().optional(),
    }),
  ]),
});
export type JobData = z.infer<typeof jobData>;
export type DefinitionRef = JobData['of'];
