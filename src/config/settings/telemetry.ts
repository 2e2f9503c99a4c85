/** The settings of the log, traces (by the names of OpenTelemetry), metrics and health checks. */
import path from 'node:path';
import { SAMPLERS } from '../../telemetry/sampling.ts';
import { decimal, flag, headerList, oneOf, text, url } from '../types.ts';
import { optional, setting } from './setting.ts';

export const telemetry = {
  logLevel: setting(
    'LOG_LEVEL',
    oneOf(['debug', 'info', 'warn', 'error'], {
      trace: 'debug',
      notset: 'debug',
      warning: 'warn',
      critical: 'error',
      fatal: 'error',
    }),
    {
      default: 'info',
      description: 'debug, info, warn (warning) or error (critical), case-insensitive.',
    },
  ),
  logFormat: setting('LOG_FORMAT', oneOf(['json', 'text']), {
    default: 'json',
    description: 'json: one object per line; text: human-readable.',
  }),
  logFile: setting('LOG_FILE', text(), {
    default: 'logs/automation.log',
    description: 'The log file in addition to the console, 10 MB and 5 older files; none: the console only.',
    inConfig: (file, folder) => (file === 'none' ? undefined : path.resolve(folder, file)),
  }),
  logCollectorUrl: optional('LOG_COLLECTOR_URL', url(['http', 'https']), {
    description:
      'Where the log is sent in batches. With a path: JSON lines are posted there; without: to /logs/batch, as the older log collector expects. User and password in the URL are sent as basic authentication.',
    secret: 'credentials',
  }),
  traceExport: {
    endpoint: optional('OTEL_EXPORTER_OTLP_ENDPOINT', url(['http', 'https']), {
      description:
        'The collector that traces are exported to, as OTLP over http/protobuf: /v1/traces is appended. By default no traces are exported, and the exporter is not loaded.',
      secret: 'credentials',
    }),
    tracesEndpoint: optional('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', url(['http', 'https']), {
      description: 'The same as a complete URL; it takes precedence over OTEL_EXPORTER_OTLP_ENDPOINT.',
      secret: 'credentials',
    }),
    headers: optional('OTEL_EXPORTER_OTLP_HEADERS', headerList(), {
      description: 'Headers of these requests, as comma-separated name=value pairs, percent-encoded.',
      secret: true,
    }),
    serviceName: setting('OTEL_SERVICE_NAME', text(), {
      default: 'orchestrator',
      description: 'The name of this service in exported traces.',
    }),
    sampler: setting('OTEL_TRACES_SAMPLER', oneOf(SAMPLERS), {
      default: 'parentbased_always_on',
      description:
        'Which traces are exported. parentbased: as `traceparent` says, or as the rest of the name says if there is none. The same for the API and all workers.',
    }),
    ratio: setting('OTEL_TRACES_SAMPLER_ARG', decimal(0, 1), {
      default: '1',
      description: 'The fraction of traces exported by the samplers with `traceidratio`.',
    }),
    disabled: setting('OTEL_SDK_DISABLED', flag(), {
      default: 'false',
      description: 'true: no traces are exported, regardless of other settings.',
    }),
  },
  metricsEnabled: setting('METRICS_ENABLED', flag(), {
    default: 'true',
    description: 'false: /metrics is not served, neither by the API nor by workers.',
    aliases: ['ENABLE_METRICS'],
  }),
  healthCheckTimeoutMs: setting('HEALTH_CHECK_TIMEOUT', decimal(0.1, 60), {
    default: '5',
    description: 'Timeout in seconds of the checks of /health/system.',
    inConfig: (seconds) => seconds * 1_000,
  }),
};
