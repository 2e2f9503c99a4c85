/** What the HTTP door answers about the health of the engine. */
import { z } from 'zod';
import { count, text, time, WHEN } from './answer-shapes.ts';

const seconds = z.number().min(0);

export const laneHealth = z
  .object({
    lane: text,
    depth: count.meta({ description: 'Jobs that a worker could take now' }),
    active: count,
    delayed: count,
    blocked: count.meta({ description: 'Jobs that wait for others' }),
    oldest_waiting_seconds: seconds
      .nullable()
      .meta({ description: 'Of the jobs next in turn, how long ago the oldest was added; null when none waits' }),
    workers: count.meta({ description: 'Workers alive that serve it' }),
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

export const sweepHealth = z
  .object({
    worker: text,
    last_pass_at: time,
    age_seconds: seconds,
    duration_ms: z.number().min(0),
    lag_seconds: seconds.meta({ description: 'How long the most overdue execution waits to be looked at' }),
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
      description: 'Begun and under way, or waiting for one that is; not those that sleep',
    }),
    queued_executions: count.meta({ description: 'Accepted and not begun' }),
    stuck_executions: count.meta({
      description:
        'Live, and nothing of them has moved, slept or run for ten minutes, or should have woken that long ago',
    }),
    lanes: z.array(laneHealth),
    workers: z.array(workerHealth),
    sweep: sweepHealth.nullable(),
    circuits: z
      .array(circuitHealth)
      .meta({ description: 'Of the tenant’s services, those that are not closed, worker by worker' }),
    problems: z.array(text).meta({ description: 'In words, what is not as it should be' }),
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
export type SweepHealth = z.infer<typeof sweepHealth>;
