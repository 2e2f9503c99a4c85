/** What the service answers about itself, beyond whether it is alive. */
import { z } from 'zod';
import { count, text, time, WHEN } from './answer-shapes.ts';
import { problem } from './why.ts';

const metric = z.object({
  name: text,
  help: text,
  type: z.enum(['counter', 'gauge', 'histogram', 'summary']),
  aggregator: text,
  values: z.array(
    z.object({
      value: z.number(),
      labels: z.record(text, z.union([text, z.number()])),
      metricName: text.optional().meta({ description: 'For a histogram: `…_bucket`, `…_sum` or `…_count`' }),
    }),
  ),
});

export const metricsAnswer = z.object({ metrics: z.array(metric) }).meta({
  id: 'Metrics',
  example: {
    metrics: [
      {
        name: 'orchestrator_up',
        help: 'Whether it is up',
        type: 'gauge',
        aggregator: 'sum',
        values: [{ value: 1, labels: {} }],
      },
    ],
  },
});

const status = z.enum(['healthy', 'unhealthy', 'unknown']);
const systemStatus = z.enum(['healthy', 'degraded', 'unhealthy']);

export const dependencyHealth = z
  .object({
    kind: z.enum(['database', 'queue', 'broker', 'engine', 'lane', 'worker', 'registry', 'service', 'peer']),
    status,
    latency_ms: z.number().min(0).nullable().meta({ description: 'Null when there is no request to measure' }),
    detail: text.optional().meta({ description: 'Description of the problem' }),
    depth: count.optional().meta({ description: 'For a lane: jobs that are ready for a worker' }),
    active: count.optional(),
    delayed: count.optional(),
    oldest_waiting_seconds: z.number().min(0).nullable().optional(),
    workers: count.optional().meta({ description: 'For a lane: live workers that serve it' }),
    active_tasks: count.optional(),
    seen_at: time.optional(),
    version: text.optional(),
    url: text.optional(),
    checked_at: time.optional(),
  })
  .meta({ id: 'DependencyHealth' });

export const systemHealth = z
  .object({
    status: systemStatus,
    overall_healthy: z.boolean(),
    services: z.record(text, dependencyHealth),
    problems: z
      .array(problem)
      .meta({ description: 'Problems by severity, the most severe first, each with what to do' }),
    services_checked: count.meta({ description: 'Number of services whose health is known' }),
    healthy_services: count,
    unhealthy_services: count,
    uptime: z.number().min(0).meta({ description: 'Seconds since this process started' }),
    timestamp: time,
  })
  .meta({
    id: 'SystemHealth',
    example: {
      status: 'degraded',
      overall_healthy: false,
      services: {
        postgres: { kind: 'database', status: 'healthy', latency_ms: 2 },
        redis: { kind: 'queue', status: 'healthy', latency_ms: 1 },
        'lane:transform': {
          ...{ kind: 'lane', status: 'healthy', latency_ms: null, depth: 0, active: 1, delayed: 0 },
          ...{ oldest_waiting_seconds: null, workers: 2 },
        },
        'service:doc_store': {
          ...{ kind: 'service', status: 'unhealthy', latency_ms: 2000, url: 'http://doc-store:5087' },
          ...{ checked_at: WHEN, detail: 'no answer within 2 s' },
        },
      },
      problems: [
        {
          code: 'dependency_unhealthy',
          message: 'service:doc_store is unhealthy: no answer within 2 s.',
          what_to_do: 'Mend it; it is asked again by itself.',
        },
      ],
      services_checked: 4,
      healthy_services: 3,
      unhealthy_services: 1,
      uptime: 86400,
      timestamp: WHEN,
    },
  });

export type DependencyHealth = z.infer<typeof dependencyHealth>;
export type SystemStatus = z.infer<typeof systemStatus>;
