/** Requests and responses of the API about traces. */
import { z } from 'zod';
import { count, object, RUN, text, time, WHEN } from '../../schemas/answer-shapes.ts';

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
    .meta({ description: 'How many hours back the executions of the traces were accepted' }),
});
export const serviceTracesQuery = z.object({
  limit: z.coerce.number<string>().int().min(1).max(MAX_LIMIT).default(DEFAULT_LIMIT),
});

export const tracingStats = z
  .object({
    total_traces: count,
    active_traces: count.meta({ description: 'Traces with an execution that has not ended' }),
    completed_traces: count.meta({ description: 'Traces whose executions all completed' }),
    failed_traces: count.meta({ description: 'Traces whose executions have all ended, and not all completed' }),
    avg_trace_duration: z
      .number()
      .min(0)
      .meta({ description: 'Of traces that have ended, in seconds; 0 when there are none' }),
    error_rate: z.number().min(0).max(1).meta({ description: 'Share of failed traces among those that have ended' }),
    since: time.nullable().meta({
      description: 'Acceptance time of the oldest execution that was counted: at most the newest 50,000 are counted',
    }),
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
    description:
      'Another span of this trace, or the span of the client that requested the execution; null: there is none',
  }),
  kind: z.enum(['run', 'task', 'attempt', 'call']),
  name: text,
  service_name: text.meta({ description: '`orchestrator`; for a call the service, or its host' }),
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
    status: traceStatus.meta({ description: '`unknown`: there is no data for it' }),
    duration_ms: z
      .number()
      .min(0)
      .meta({ description: 'From the first start to the last end, or to now while the trace is active' }),
    spans: z.array(span).meta({ description: 'Executions, their tasks, attempts and calls, by start time' }),
    truncated: z.boolean().meta({ description: 'Whether there are more spans than are shown' }),
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
        calls: count.meta({ description: 'Calls of the service in the trace; for `orchestrator`: executions' }),
        errors: count.meta({ description: 'Calls without a response, or with a status of 400 or higher' }),
      }),
    ),
    total: count.meta({ description: 'Number of traces among the newest 50,000 calls' }),
  })
  .meta({ id: 'ServiceTraces', example: { service_name: 'analysis_service', traces: [], total: 0 } });

export type TracingStats = z.infer<typeof tracingStats>;
export type Trace = z.infer<typeof trace>;
export type Span = z.infer<typeof span>;
export type ServiceTraces = z.infer<typeof serviceTraces>;
