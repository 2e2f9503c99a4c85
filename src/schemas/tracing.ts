/** What the HTTP door takes and answers about traces. */
import { z } from 'zod';
import { count, object, RUN, text, time, WHEN } from './answer-shapes.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const MAX_LIMIT = 10_000;
const DEFAULT_LIMIT = 100;
const DEFAULT_HOURS = 72;

export const tracingStatsQuery = z.object({
  hours: z.coerce
    .number<string>()
    .int()
    .min(1)
    .max(8_760)
    .default(DEFAULT_HOURS)
    .meta({ description: 'How far back: traces of executions that were accepted within so many hours' }),
});
export const serviceTracesQuery = z.object({
  limit: z.coerce.number<string>().int().min(1).max(MAX_LIMIT).default(DEFAULT_LIMIT),
});

export const tracingStats = z
  .object({
    total_traces: count,
    active_traces: count.meta({ description: 'Some execution of it has not ended' }),
    completed_traces: count.meta({ description: 'Every execution of it completed' }),
    failed_traces: count.meta({ description: 'All have ended, and some did not complete' }),
    avg_trace_duration: z.number().min(0).meta({ description: 'Of those that have ended, in seconds; 0 without any' }),
    error_rate: z.number().min(0).max(1).meta({ description: 'The share of failed ones among those that have ended' }),
    since: time
      .nullable()
      .meta({ description: 'The oldest execution that was counted: of very many the newest 50,000 are counted' }),
  })
  .meta({
    id: 'TracingStats',
    example: {
      ...{ total_traces: 10, active_traces: 1, completed_traces: 8, failed_traces: 1 },
      ...{ avg_trace_duration: 1.25, error_rate: 0.1111, since: WHEN },
    },
  });

const span = z.object({
  span_id: text,
  parent_span_id: text.nullable().meta({
    description: 'Another one here, or the span of whoever asked for the execution; null: it has none',
  }),
  kind: z.enum(['run', 'task', 'attempt', 'call']),
  name: text,
  service_name: text.meta({ description: '`orchestrator`; of a call the service, or its host' }),
  start_time: time,
  end_time: time.nullable(),
  duration_ms: z.number().min(0).nullable(),
  status: z.enum(['active', 'ok', 'error', 'cancelled', 'skipped']),
  error: text.nullable(),
  attributes: object,
});

const traceStatus = z.enum(['active', 'completed', 'failed', 'unknown']);

export const trace = z
  .object({
    trace_id: text,
    status: traceStatus.meta({ description: '`unknown`: nothing is known of it' }),
    duration_ms: z.number().min(0).meta({ description: 'From the first to the last, or to now while it is active' }),
    spans: z.array(span).meta({ description: 'By their beginning: executions, their tasks, attempts and calls' }),
    truncated: z.boolean().meta({ description: 'There is more than is shown' }),
  })
  .meta({
    id: 'Trace',
    example: {
      trace_id: TRACE,
      status: 'completed',
      duration_ms: 31,
      spans: [
        {
          ...{ span_id: '00f067aa0ba902b7', parent_span_id: null, kind: 'run', name: 'analysis' },
          ...{
            service_name: 'orchestrator',
            start_time: WHEN,
            end_time: WHEN,
            duration_ms: 31,
            status: 'ok',
            error: null,
          },
          attributes: { execution_id: RUN },
        },
      ],
      truncated: false,
    },
  });

export const serviceTraces = z
  .object({
    service_name: text,
    traces: z.array(
      z.object({
        trace_id: text,
        status: traceStatus,
        start_time: time,
        duration_ms: z.number().min(0),
        calls: count.meta({ description: 'Of the service in it; of `orchestrator`: executions' }),
        errors: count.meta({ description: 'Those that got no answer, or one from 400' }),
      }),
    ),
    total: count.meta({ description: 'Those among the newest 50,000 calls' }),
  })
  .meta({ id: 'ServiceTraces', example: { service_name: 'analysis_service', traces: [], total: 0 } });

export type TracingStats = z.infer<typeof tracingStats>;
export type Trace = z.infer<typeof trace>;
export type Span = z.infer<typeof span>;
export type ServiceTraces = z.infer<typeof serviceTraces>;
