/** Requests and responses of the API about services. */
import { z } from 'zod';
import { count, exampleOf, json, object, text, time, WHEN } from '../../schemas/answer-shapes.ts';
import type { JsonObject } from '../../schemas/json.ts';

const MAX_NAME = 255;
const MAX_URL = 2_000;
/** Words that follow `/registry/` themselves. */
const RESERVED = new Set(['register', 'heartbeat', 'sync-peers', 'poll-openapi', 'replicate']);

const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'must be letters, digits and . _ -')
  .max(MAX_NAME)
  .refine((given) => !RESERVED.has(given), { error: 'is a word of the registry itself' })
  .meta({ example: 'analysis_service' });
const instanceId = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._:-]*$/, 'must be letters, digits and . _ : -')
  .max(MAX_NAME)
  .meta({ example: 'analysis-1' });

const address = z
  .url({ protocol: /^https?$/ })
  .max(MAX_URL)
  .refine((url) => !URL.canParse(url) || (new URL(url).username === '' && new URL(url).password === ''), {
    error: 'must not hold a user or a password',
  });
/** Without a slash at its end, as the configuration's. */
const baseUrl = address
  .refine((url) => !URL.canParse(url) || (new URL(url).search === '' && new URL(url).hash === ''), {
    error: 'must not hold a query or a fragment',
  })
  .transform((url) => url.replace(/\/+$/, ''))
  .meta({ example: 'http://analysis:8080' });

const seconds = (max: number) => z.number().positive().max(max);
const threshold = z.int().min(1).max(100);
const checkInterval = z.number().min(1).max(3_600);
const healthCheck = z
  .strictObject({
    path: z.string().regex(/^\/.*/, "must start with '/'").max(MAX_URL).default('/health'),
    interval_seconds: checkInterval.default(10),
    timeout_seconds: seconds(60).default(2),
    healthy_threshold: threshold.default(2),
    unhealthy_threshold: threshold.default(3),
  })
  .meta({
    id: 'HealthCheck',
    description: 'A health check sends GET to the path; a 2xx status passes, and redirects are followed',
  });
const healthCheckRequest = healthCheck
  .extend({ interval_seconds: checkInterval.optional().meta({ description: 'Default: HEALTH_CHECK_INTERVAL' }) })
  .meta({ id: 'HealthCheckRequest' });
const loadBalancing = z.enum(['round_robin', 'least_outstanding']);
const breaker = z.strictObject({
  failure_threshold: threshold.default(5).meta({ description: 'Number of consecutive failures that open the circuit' }),
  recovery_timeout: seconds(3_600)
    .default(60)
    .meta({ description: 'Seconds until an open circuit lets one call through' }),
});
const bulkhead = z.int().min(1).max(1_000).meta({ description: 'Maximum number of concurrent calls of one worker' });
const timeoutSeconds = seconds(86_400).meta({ description: 'Timeout of one call' });
const weight = z.int().min(1).max(100);
const ttl = z
  .int()
  .min(1)
  .max(86_400)
  .meta({ description: 'How long a heartbeat is valid; by default it does not expire' });

export const registerRequest = z
  .strictObject({
    name,
    base_url: baseUrl,
    openapi_url: address.nullable().optional().meta({ example: 'http://analysis:8080/openapi.json' }),
    endpoints: z
      .array(z.union([z.string().max(MAX_URL), z.record(z.string(), z.unknown())]))
      .max(1_000)
      .optional()
      .meta({ example: ['/analyze'] }),
    metadata: (z.record(z.string(), z.unknown()) as unknown as z.ZodType<JsonObject>).optional(), // The API's JSON.
    instance_id: instanceId.optional().meta({
      description:
        'Id of one of several instances. Left out: the service has a single instance, which replaces all that were registered under the name',
    }),
    weight: weight.default(1),
    ttl_seconds: ttl.optional(),
    health_check: healthCheckRequest.nullable().optional(),
    load_balancing: loadBalancing.optional(),
    breaker: breaker.optional(),
    bulkhead: bulkhead.optional(),
    timeout_seconds: timeoutSeconds.optional(),
  })
  .meta({
    id: 'RegisterRequest',
    example: { name: 'analysis_service', base_url: 'http://analysis:8080', endpoints: ['/analyze'] },
  });

/**
 * A service as one installation sends it to another: with its instances, without their times. The
 * other one may be of a later release: unknown fields are left out.
 */
export const replicatedService = z.object({
  name,
  base_url: baseUrl,
  openapi_url: address.nullable(),
  endpoints: registerRequest.shape.endpoints.unwrap(),
  metadata: registerRequest.shape.metadata.unwrap(),
  settings: z.object({
    health_check: healthCheck.nullable().optional(),
    load_balancing: loadBalancing.optional(),
    breaker: breaker.optional(),
    bulkhead: bulkhead.optional(),
    timeout_seconds: timeoutSeconds.optional(),
  }),
  instances: z.array(z.object({ instance_id: instanceId, base_url: baseUrl, weight })).max(100),
});

export const registered = z
  .object({ status: z.literal('registered'), count: count.meta({ description: 'Number of services' }) })
  .meta({ id: 'Registered', example: { status: 'registered', count: 1 } });

export const heartbeatRequest = z
  .strictObject({ name, instance_id: instanceId.optional() })
  .meta({ id: 'ServiceHeartbeatRequest', example: { name: 'analysis_service', instance_id: 'analysis-1' } });
export const heartbeat = z
  .object({ status: z.literal('ok'), name: text, instance_id: text, expires_at: time.nullable() })
  .meta({
    id: 'ServiceHeartbeat',
    example: { status: 'ok', name: 'analysis_service', instance_id: 'analysis-1', expires_at: WHEN },
  });

const instance = z
  .object({
    instance_id: text,
    base_url: text,
    weight: count,
    ttl_seconds: count.nullable(),
    status: z.enum(['unknown', 'healthy', 'unhealthy', 'expired']),
    circuit: z.enum(['closed', 'half_open', 'open']).meta({ description: 'The least closed state among all workers' }),
    last_heartbeat: time.nullable(),
    expires_at: time.nullable(),
    last_check_at: time.nullable(),
    latency_ms: z.number().min(0).nullable().meta({ description: 'Latency of the last health check' }),
    last_error: text.nullable().meta({ description: 'Why the last health check failed' }),
  })
  .meta({ id: 'ServiceInstance' });

const settings = {
  health_check: healthCheck.nullable(),
  load_balancing: loadBalancing,
  breaker,
  bulkhead,
  timeout_seconds: timeoutSeconds,
};
export const service = z
  .object({
    name: text,
    base_url: text,
    openapi_url: text.nullable(),
    endpoints: z.array(json),
    metadata: object,
    status: z.enum(['unknown', 'healthy', 'degraded', 'unhealthy', 'expired']).meta({
      description: 'The common status of all instances whose heartbeat has not expired, or else degraded',
    }),
    last_heartbeat: time.nullable(),
    source: z.enum(['configuration', 'registration']),
    origin: text.nullable().meta({ description: 'The peer it was registered at; null: this installation' }),
    version: count,
    ...settings,
    instances: z.array(instance),
    registered_at: time.nullable(),
    updated_at: time.nullable(),
  })
  .meta({
    id: 'RegisteredService',
    example: {
      name: 'analysis_service',
      base_url: 'http://analysis:8080',
      openapi_url: null,
      endpoints: ['/analyze'],
      metadata: {},
      status: 'unknown',
      last_heartbeat: WHEN,
      source: 'registration',
      origin: null,
      version: 1_893_499_200_000,
      health_check: null,
      load_balancing: 'round_robin',
      breaker: { failure_threshold: 5, recovery_timeout: 60 },
      bulkhead: 10,
      timeout_seconds: 300,
      instances: [],
      registered_at: WHEN,
      updated_at: WHEN,
    },
  });
export const serviceList = z
  .object({ services: z.array(service) })
  .meta({ id: 'ServiceList', example: { services: [exampleOf(service)] } });

export type RegisterRequest = z.output<typeof registerRequest>;
export type ServiceAnswer = z.input<typeof service>;
