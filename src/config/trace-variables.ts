/** Where traces are exported to: the names are those of OpenTelemetry. */
import { SAMPLERS } from '../telemetry/sampling.ts';
import { decimal, flag, headerList, oneOf, text, url } from './types.ts';
import { optional, setting, type Variable } from './variable.ts';

export const TRACE_VARIABLES = {
  OTEL_EXPORTER_OTLP_ENDPOINT: optional(
    url(['http', 'https']),
    'The collector that traces are exported to, as OTLP over http/protobuf: /v1/traces is appended. By default no traces are exported, and the exporter is not loaded.',
    { secret: 'credentials' },
  ),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: optional(
    url(['http', 'https']),
    'The same as a complete URL; it takes precedence over OTEL_EXPORTER_OTLP_ENDPOINT.',
    { secret: 'credentials' },
  ),
  OTEL_EXPORTER_OTLP_HEADERS: optional(
    headerList(),
    'Headers of these requests, as comma-separated name=value pairs, percent-encoded.',
    { secret: true },
  ),
  OTEL_SERVICE_NAME: setting(text(), 'orchestrator', 'The name of this service in exported traces.'),
  OTEL_TRACES_SAMPLER: setting(
    oneOf(SAMPLERS),
    'parentbased_always_on',
    'Which traces are exported. parentbased: as `traceparent` says, or as the rest of the name says if there is none. The same for the API and all workers.',
  ),
  OTEL_TRACES_SAMPLER_ARG: setting(
    decimal(0, 1),
    '1',
    'The fraction of traces exported by the samplers with `traceidratio`.',
  ),
  OTEL_SDK_DISABLED: setting(flag(), 'false', 'true: no traces are exported, regardless of other settings.'),
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
