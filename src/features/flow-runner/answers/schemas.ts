/** What executors answer. Fields that are not here are for others, and are passed over. */
import { z } from 'zod';
import { id } from '../../../schemas/ids.ts';

const answer = z.object({
  run_id: id,
  task_id: id,
  execution_time_ms: z.number().min(0).max(Number.MAX_SAFE_INTEGER).nullish(),
  execution_mode: z.string().nullish(),
  timestamp: z.union([z.string(), z.number()]).nullish(),
  correlation_id: z.string().nullish(),
  tenant_id: id.nullish(),
  user_id: z.string().nullish(),
  attempt: z.int().min(0).max(2_147_483_646).nullish(),
  max_retries: z.int().min(0).nullish(),
  lease_token: z.string().min(1).max(255).nullish(),
});

export const taskDone = answer.extend({ output: z.json().nullish() });

export const taskFailed = answer.extend({
  error: z.union([z.string(), z.record(z.string(), z.json())]).nullish(),
});
export type TaskFailed = z.output<typeof taskFailed>;
