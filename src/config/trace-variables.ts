/** Where traces are exported to: the names are those of OpenTelemetry. */
import { SAMPLERS } from '../telemetry/sampling.ts';
import { decimal, flag, headerList, oneOf, text, url } from './types.ts';
import { optional, setting, type Variable } from './variable.ts';

export const TRACE_VARIABLES = {
  OTEL_EXPORTER_OTLP_ENDPOINT: optional(
    url(['http', 'https']),
    'The collector that traces are sent to, OTLP by http/protobuf: /v1/traces is added. Left out: none are exported, and nothing is loaded for it.',
    { secret: 'credentials' },
  ),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: optional(
    url(['http', 'https']),
    'The same, as the whole URL; it goes before OTEL_EXPORTER_OTLP_ENDPOINT.',
    { secret: 'credentials' },
  ),
  OTEL_EXPORTER_OTLP_HEADERS: optional(
    headerList(),
    'Headers of these requests, as name=value with commas between them, percent-encoded.',
    { secret: true },
  ),
  OTEL_SERVICE_NAME: setting(text(), 'orchestrator', 'What this service is called in exported traces.'),
  OTEL_TRACES_SAMPLER: setting(
    oneOf(SAMPLERS),
    'parentbased_always_on',
    'Which traces are exported. parentbased: what `traceparent` says, and the rest of the name where there was none. The same at the API and all workers.',
  ),
  OTEL_TRACES_SAMPLER_ARG: setting(
    decimal(0, 1),
    '1',
    'The share of traces that the samplers with `traceidratio` take.',
  ),
  OTEL_SDK_DISABLED: setting(flag(), 'false', 'true: no traces are exported, whatever else is set.'),
} as const satisfies Record<string, Variable>;

export interface TraceExportConfig {
  url: string;
  headers: Readonly<Record<string, string>>;
  serviceName: string;
  sampler: (typeof SAMPLERS)[number];
  ratio: number;
}

/** Undefined: none are exported. */
export function traceExportOf(values: {
  OTEL_EXPORTER_OTLP_ENDPOINT?: string | undefined;
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT?: string | undefined;
  OTEL_EXPORTER_OTLP_HEADERS?: ReadonlyMap<string, string> | undefined;
  OTEL_SERVICE_NAME: string;
  OTEL_TRACES_SAMPLER: TraceExportConfig['sampler'];
  OTEL_TRACES_SAMPLER_ARG: number;
  OTEL_SDK_DISABLED: boolean;
}): TraceExportConfig | undefined {
  const base = values.OTEL_EXPORTER_OTLP_ENDPOINT?.replace(/\/+$/, '');
  const whole = values.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? (base === undefined ? undefined : `${base}/v1/traces`);
  if (whole === undefined || values.OTEL_SDK_DISABLED) return undefined;
  return {
    url: whole,
    headers: Object.fromEntries(values.OTEL_EXPORTER_OTLP_HEADERS ?? []),
    serviceName: values.OTEL_SERVICE_NAME,
    sampler: values.OTEL_TRACES_SAMPLER,
    ratio: values.OTEL_TRACES_SAMPLER_ARG,
  };
}
