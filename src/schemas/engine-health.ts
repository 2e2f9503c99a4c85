/** Responses of the API about the health of the engine. */
import { z } from 'zod';
import { count, text, time, WHEN } from './answer-shapes.ts';

const seconds = z.number().min(0);

export const laneHealth = z
  .object({
    lane: text,
    depth: count.meta({ description: 'Jobs that are ready for a worker' }),
    active: count,
    delayed: count,
    blocked: count.meta({ description: 'Jobs that wait for other jobs' }),
    oldest_waiting_seconds: seconds
      .nullable()
      .meta({ description: 'Age of the oldest of the next jobs, since it was added; null when no job waits' }),
    workers: count.meta({ description: 'Live workers that serve the lane' }),
  })
  .meta({ id: 'LaneHealth' });

export const workerHealth = z
  .object({
    worker: text,
    alive: z.boolean(),
    version: text,
    lanes: z.array(text),
    active_tasks: count,
    event_loop_lag_ms: z.number().min(0),
    started_at: time,
    seen_at: time,
  })
  .meta({ id: 'WorkerHealth' });

export const circuitHealth = z
  .object({
    service: text,
    instance_id: text,
    worker: text,
    state: z.enum(['half_open', 'open']),
    since: time,
  })
  .meta({ id: 'CircuitHealth' });

export const reconcilerHealth = z
  .object({
    worker: text,
    last_pass_at: time,
    age_seconds: seconds,
    duration_ms: z.number().min(0),
    lag_seconds: seconds.meta({ description: 'How long the most overdue execution has waited for reconciliation' }),
    dispatched: count,
    checked: count,
    repaired: count,
    dispatched_total: count,
    repaired_total: count,
    last_repair_at: time.nullable(),
  })
  .meta({ id: 'SweepHealth' });

export const engineHealth = z
  .object({
    status: z.enum(['healthy', 'degraded', 'unhealthy']),
    service: z.literal('workflow_management'),
    timestamp: time,
    database_connected: z.boolean(),
    queue_connected: z.boolean(),
    active_executions: count.meta({
      description:
        'Executions that have started and are running, or that wait for one that is; sleeping ones are excluded',
    }),
    queued_executions: count.meta({ description: 'Executions that were accepted and have not started' }),
    stuck_executions: count.meta({
      description:
        'Live executions without any progress, sleep or running task for ten minutes, or whose wake-up is overdue by ten minutes',
    }),
    lanes: z.array(laneHealth),
    workers: z.array(workerHealth),
    sweep: reconcilerHealth.nullable(),
    circuits: z
      .array(circuitHealth)
      .meta({ description: 'Circuits of the tenant’s services that are not closed, by worker' }),
    problems: z.array(text).meta({ description: 'Descriptions of the problems found' }),
  })
  .meta({
    id: 'EngineHealth',
    example: {
      status: 'healthy',
      service: 'workflow_management',
      timestamp: WHEN,
      database_connected: true,
      queue_connected: true,
      active_executions: 3,
      queued_executions: 0,
      stuck_executions: 0,
      lanes: [
        { lane: 'transform', depth: 0, active: 1, delayed: 0, blocked: 2, oldest_waiting_seconds: null, workers: 1 },
      ],
      workers: [],
      sweep: null,
      circuits: [],
      problems: [],
    },
  });

export type LaneHealth = z.infer<typeof laneHealth>;
export type WorkerHealth = z.infer<typeof workerHealth>;
export type ReconcilerHealth = z.infer<typeof reconcilerHealth>;
