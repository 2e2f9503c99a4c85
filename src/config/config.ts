/** The only reader of the environment: settings from all sources, checked at once, as one frozen object. */
import path from 'node:path';
import { serviceKey } from '../domain/service-rate.ts';
import type { EffectiveConfig } from '../schemas/effective-config.ts';
import type { FailpointRule } from '../schemas/failpoints.ts';
import {
  type AuthenticationConfig,
  asksForCredentials,
  authenticationFaults,
  isLoopback,
  readAuthentication,
} from './authentication.ts';
import { effectiveSettings } from './effective.ts';
import { findSecrets, findServices, textsOf, withKeyFile } from './named-values.ts';
import { WITHOUT_EFFECT } from './older-names.ts';
import { type Found, find, labelOf, readSettings, SETTINGS, type Values } from './read-settings.ts';
import { type Layer, readSources, type Source } from './sources.ts';
import { readTls, type TlsFiles } from './tls.ts';
import { type TraceExportConfig, traceExportOf } from './trace-variables.ts';
import type { RateLimit } from './types.ts';
import type { Variable } from './variable.ts';
import { ADAPTER_SETTINGS, VARIABLES } from './variables.ts';

export interface Config {
  nodeEnv: string;
  /** Empty outside of tests. */
  failpoints: readonly FailpointRule[];
  host: string;
  port: number;
  publicUrl: string | undefined;
  authMode: 'auto' | 'none';
  /** Undefined: the API speaks plain HTTP. */
  tls: TlsFiles | undefined;
  /** API_KEY. */
  apiKeys: readonly string[];
  authentication: AuthenticationConfig;
  /** `*`: any; `loopback`: those of this machine. */
  corsOrigins: readonly string[];
  /** The names under which it may be asked; undefined: any. */
  hostNames: readonly string[] | undefined;
  maxConnections: number;
  maxStreamsPerTenant: number;
  bodyLimitBytes: number;
  trustProxy: number | readonly string[];
  /** 0: any number. */
  rateLimitPerMinute: number;
  authFailuresPerMinute: number;

  databaseUrl: string | undefined;
  databasePoolSize: number;
  rowLevelSecurity: 'auto' | 'required' | 'off';
  /** Undefined: the queue is in PostgreSQL. */
  redisUrl: string | undefined;
  queuePrefix: string;
  dataDir: string;

  workerLanes: 'all' | readonly string[];
  workerConcurrency: number;
  workerPort: number;
  isolatedProcesses: number;
  /** Of each API and worker. */
  expressionThreads: number;
  isolatedMemoryMb: number;
  /** 0: never. */
  blockedSeconds: number;
  deafSeconds: number;
  shutdownGraceSeconds: number;
  maxOutputBytes: number;
  /** For actions that do not say. `maxAttempts` counts all tries; `backoffBase`: seconds before the first retry, doubled each time. */
  defaultRetry: { maxAttempts: number; backoffBase: number };
  defaultTimeoutSeconds: number;

  egressPolicy: 'internal' | 'registered' | 'public-only' | 'none';
  egressAllow: readonly string[];
  egressTenants: Values['EGRESS_TENANTS'];
  /** Of the cluster that this process runs in. */
  kubernetesApi: { host: string; port: number } | undefined;
  /** lower_snake name -> base URL without a slash at its end. */
  services: Readonly<Record<string, string>>;
  adapterSettings: Readonly<Partial<Record<(typeof ADAPTER_SETTINGS)[number], string>>>;
  secrets: Readonly<Record<string, string>>;
  /** By tenant. */
  inboundWebhookSecrets: ReadonlyMap<string, readonly string[]>;
  /** The tenants that may use them. */
  secretsShared: '*' | readonly string[];
  /** Base64; the first one encrypts. Empty: nothing is encrypted. */
  secretKeys: readonly string[];
  webhookSecrets: readonly string[];
  encryptPayloads: boolean;
  /** Undefined: events go to no stream. */
  eventsStream: { name: string; maxLength: number } | undefined;
  /** The first one signs; empty: there are no links. */
  approvalLinkSecrets: readonly string[];
  /** Base URLs without a slash at their ends. */
  peers: readonly string[];
  /** The first one signs; empty: nothing is signed. */
  peerSecrets: readonly string[];

  admissionWindow: number;
  /** 0: any number. */
  maxQueuedRunsPerTenant: number;
  maxLiveRunsPerTenant: number;
  /** 1 for tenants that are not named. */
  tenantWeights: ReadonlyMap<string, number>;
  maxRunDepth: number;
  /** By action type. */
  laneRateLimits: ReadonlyMap<string, RateLimit>;
  /** By the key of a service (`serviceKey`). */
  serviceRateLimits: ReadonlyMap<string, RateLimit>;
  reconcileSeconds: number;
  lockDurationMs: number;
  stalledIntervalMs: number;
  /** 0: runs whose workflow does not say are kept for ever. */
  retentionDays: number;
  /** 0: what is kept of runs may grow. */
  retentionBytes: number;
  /** 0: calls are not written down. */
  traceRetentionHours: number;
  auditReads: boolean;
  auditRetentionDays: number;
  /** Undefined: the ends of chains are only logged. */
  auditAnchorFile: string | undefined;
  auditAnchorSecrets: readonly string[];

  /** Undefined: traces are not exported. */
  traceExport: TraceExportConfig | undefined;

  logLevel: 'debug' | 'info' | 'warn' | 'error';
  logFormat: 'json' | 'text';
  /** Undefined: the console only. */
  logFile: string | undefined;
  /** Undefined: it is sent nowhere. */
  logCollectorUrl: string | undefined;
  metricsEnabled: boolean;
  healthCheckTimeoutMs: number;

  /** This process is a script of npm, which ends it by ending itself. */
  startedByNpm: boolean;
  /** Variables that are set and have no effect in this version: to be said at start. */
  withoutEffect: readonly string[];
  /** Values that never appear in a log. */
  hidden: readonly string[];
  /** All settings with their sources, to be shown: nothing in it is secret. */
  effective: EffectiveConfig;
}

/** All that is wrong, one sentence each. */
export class ConfigError extends Error {
  readonly faults: readonly string[];
  constructor(faults: readonly string[]) {
    super(['The configuration cannot work:', ...faults.map((fault) => `  - ${fault}`)].join('\n'));
    this.name = 'ConfigError';
    this.faults = faults;
  }
}

/** Without `listens` the files of TLS are left alone: a worker need not have them. */
export function loadConfig(
  environment: Layer = process.env,
  options: { cwd?: string; listens?: boolean } = {},
): Config {
  const { cwd = process.cwd(), listens = true } = options;
  const faults: string[] = [];
  const sources = readSources(environment, cwd, faults);
  const { values: read, found } = readSettings(sources, faults);
  const values = read === undefined ? undefined : withKeyFile(read, found, faults);
  const config = values === undefined ? undefined : build({ values, found, sources, cwd, listens }, faults);
  if (config === undefined || faults.length > 0) throw new ConfigError(faults);
  return freeze(config);
}

/** This process's environment with some variables changed, for a process that it starts. */
export function environmentWith(changes: Layer): Layer {
  // npm ends the process that it started; that one ends its own.
  return { ...process.env, npm_lifecycle_event: undefined, ...changes };
}

/** What a program needs to run at all, for a process that is to know nothing of ours. */
export function bareEnvironment(): Layer {
  const kept = ['PATH', 'HOME', 'TMPDIR', 'TEMP', 'SystemRoot', 'LANG', 'TZ', 'NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE'];
  return Object.fromEntries(kept.map((name) => [name, process.env[name]]));
}

interface Read {
  values: Values;
  found: ReadonlyMap<string, Found>;
  sources: readonly Source[];
  cwd: string;
  listens: boolean;
}

function build({ values, found, sources, cwd, listens }: Read, faults: string[]): Config {
  const authentication = readAuthentication(values);
  const host = values.HOST ?? (authentication.required || values.AUTH_MODE === 'none' ? '0.0.0.0' : '127.0.0.1');
  faults.push(...refusals(values, found, host));
  if (values.ENCRYPT_PAYLOADS && values.SECRETS_KEY.length === 0)
    faults.push('ENCRYPT_PAYLOADS is true and SECRETS_KEY is not set: there is nothing to encrypt with.');
  const services = findServices(values, sources, found.get('SERVICES'));
  const secrets = findSecrets(values.SECRETS_DIR, sources);
  const redisUrl =
    values.REDIS_URL ??
    (values.REDIS_HOST === undefined ? undefined : `redis://${values.REDIS_HOST}:${values.REDIS_PORT}`);
  const corsOrigins = values.CORS_ORIGINS ?? (authentication.required ? ['*'] : ['loopback']);
  const egressPolicy =
    values.EGRESS_POLICY ?? (isLoopback(host) && !authentication.required ? 'internal' : 'registered');
  const hidden = hiddenValues(values, redisUrl, Object.values(textsOf(secrets)));
  const withoutEffect = Object.keys(WITHOUT_EFFECT).filter(
    (name) => find(sources, [name, `ORCHESTRATOR_${name}`]) !== undefined,
  );
  return {
    nodeEnv: values.NODE_ENV,
    failpoints: values.FAILPOINTS,
    host,
    port: values.PORT,
    publicUrl: values.PUBLIC_URL?.replace(/\/+$/, ''),
    authMode: values.AUTH_MODE,
    tls: values.ENABLE_TLS && listens ? readTls(values, found, cwd, faults) : undefined,
    apiKeys: values.API_KEY,
    authentication,
    corsOrigins,
    hostNames: isLoopback(host) && !authentication.required ? hostNames(host, values.PUBLIC_URL) : undefined,
    maxConnections: values.MAX_CONNECTIONS,
    maxStreamsPerTenant: values.MAX_STREAMS_PER_TENANT,
    bodyLimitBytes: values.BODY_LIMIT_BYTES,
    trustProxy: values.TRUST_PROXY,
    rateLimitPerMinute: values.RATE_LIMIT_PER_MINUTE,
    authFailuresPerMinute: values.AUTH_FAILURES_PER_MINUTE,
    databaseUrl: values.DATABASE_URL,
    databasePoolSize: values.DATABASE_POOL_SIZE,
    rowLevelSecurity: values.ROW_LEVEL_SECURITY,
    redisUrl,
    queuePrefix: values.QUEUE_PREFIX,
    dataDir: path.resolve(cwd, values.DATA_DIR),
    workerLanes: values.WORKER_LANES.includes('all') ? 'all' : values.WORKER_LANES,
    workerConcurrency: values.WORKER_CONCURRENCY,
    workerPort: values.WORKER_PORT,
    isolatedProcesses: values.ISOLATED_PROCESSES,
    expressionThreads: values.EXPRESSION_THREADS,
    isolatedMemoryMb: values.ISOLATED_MEMORY_MB,
    blockedSeconds: values.BLOCKED_SECONDS,
    deafSeconds: values.DEAF_SECONDS,
    shutdownGraceSeconds: values.SHUTDOWN_GRACE_SECONDS,
    maxOutputBytes: values.MAX_OUTPUT_BYTES,
    defaultRetry: { maxAttempts: values.MAX_RETRY_ATTEMPTS + 1, backoffBase: values.RETRY_BACKOFF_BASE },
    defaultTimeoutSeconds: values.TASK_TIMEOUT_DEFAULT,
    egressPolicy,
    egressAllow: values.EGRESS_ALLOW,
    egressTenants: values.EGRESS_TENANTS,
    kubernetesApi: kubernetesApi(sources[0]?.values ?? {}),
    services: textsOf(services),
    adapterSettings: Object.fromEntries(
      ADAPTER_SETTINGS.flatMap((name) => (values[name] === undefined ? [] : [[name, values[name]]])),
    ),
    secrets: textsOf(secrets),
    inboundWebhookSecrets: values.INBOUND_WEBHOOK_SECRET ?? new Map(),
    secretsShared: values.SECRETS_SHARED.includes('*') ? '*' : values.SECRETS_SHARED,
    secretKeys: values.SECRETS_KEY,
    webhookSecrets: values.WEBHOOK_SECRET,
    encryptPayloads: values.ENCRYPT_PAYLOADS,
    eventsStream:
      values.EVENTS_STREAM === undefined
        ? undefined
        : { name: values.EVENTS_STREAM, maxLength: values.EVENTS_STREAM_MAXLEN },
    approvalLinkSecrets: values.APPROVAL_LINK_SECRET,
    peers: values.PEERS,
    peerSecrets: values.PEER_SECRET,
    admissionWindow: values.ADMISSION_WINDOW,
    maxQueuedRunsPerTenant: values.MAX_QUEUED_RUNS_PER_TENANT,
    maxLiveRunsPerTenant: values.MAX_LIVE_RUNS_PER_TENANT,
    tenantWeights: values.TENANT_WEIGHTS,
    maxRunDepth: values.MAX_RUN_DEPTH,
    laneRateLimits: values.LANE_RATE_LIMITS,
    serviceRateLimits: new Map([...values.SERVICE_RATE_LIMITS].map(([name, limit]) => [serviceKey(name), limit])),
    reconcileSeconds: values.RECONCILE_SECONDS,
    lockDurationMs: values.LOCK_DURATION_MS,
    stalledIntervalMs: values.STALLED_INTERVAL_MS,
    retentionDays: values.RETENTION_DAYS,
    retentionBytes: values.RETENTION_BYTES,
    traceRetentionHours: values.TRACE_RETENTION_HOURS,
    auditReads: values.AUDIT_READS,
    auditRetentionDays: values.AUDIT_RETENTION_DAYS,
    auditAnchorSecrets: values.AUDIT_ANCHOR_SECRET,
    auditAnchorFile: values.AUDIT_ANCHOR_FILE === undefined ? undefined : path.resolve(cwd, values.AUDIT_ANCHOR_FILE),
    traceExport: traceExportOf(values),
    logLevel: values.LOG_LEVEL,
    logFormat: values.LOG_FORMAT,
    logFile: values.LOG_FILE === 'none' ? undefined : path.resolve(cwd, values.LOG_FILE),
    logCollectorUrl: values.LOG_COLLECTOR_URL,
    metricsEnabled: values.METRICS_ENABLED,
    healthCheckTimeoutMs: values.HEALTH_CHECK_TIMEOUT * 1_000,
    startedByNpm: sources[0]?.values['npm_lifecycle_event'] !== undefined,
    withoutEffect,
    hidden,
    effective: effectiveSettings({
      values: { ...values, HOST: host, EGRESS_POLICY: egressPolicy, CORS_ORIGINS: corsOrigins, REDIS_URL: redisUrl },
      found,
      services: [...services.values()],
      secrets: [...secrets.values()],
      withoutEffect,
      hidden,
    }),
  };
}

/** What would be unsafe to pass over in silence. */
function refusals(values: Values, found: ReadonlyMap<string, Found>, host: string): string[] {
  const refused: string[] = [];
  const label = (name: string) => {
    const here = found.get(name);
    return here === undefined ? name : labelOf(here);
  };
  if (values.EVENTS_STREAM !== undefined && values.REDIS_URL === undefined && values.REDIS_HOST === undefined) {
    refused.push(`${label('EVENTS_STREAM')} names a stream in Redis: set REDIS_URL, or leave it out.`);
  }
  if (values.POLICY_ENGINE_URL !== undefined) {
    refused.push(
      `${label('POLICY_ENGINE_URL')} asks for policy checks, which this version does not have: leave it out.`,
    );
  }
  if (values.FAILPOINTS.length > 0 && values.NODE_ENV !== 'test') {
    refused.push(
      `${label('FAILPOINTS')} makes processes fail on purpose, which is honoured with NODE_ENV=test only: leave it out.`,
    );
  }
  if (values.PEERS.length > 0 && asksForCredentials(values) && values.PEER_SECRET.length === 0) {
    refused.push(
      `${label('PEERS')} is set beside authentication and no PEER_SECRET is: peers could not tell each other from anybody else.`,
    );
  }
  refused.push(...authenticationFaults(values, host, label));
  return refused;
}

function hiddenValues(values: Values, redisUrl: string | undefined, secrets: string[]): string[] {
  const own = SETTINGS.flatMap((name) => {
    const variable: Variable = VARIABLES[name];
    const value = values[name];
    if (variable.secret !== true || value === undefined) return [];
    if (value instanceof Map) return [...value.values()].flat().map(String);
    return Array.isArray(value) ? value.map(String) : [String(value)];
  });
  const passwords = [
    values.DATABASE_URL,
    redisUrl,
    values.SMTP_URL,
    values.LOG_COLLECTOR_URL,
    values.JWKS_URL,
    values.OTEL_EXPORTER_OTLP_ENDPOINT,
    values.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
  ].flatMap((url) => (url !== undefined && URL.canParse(url) ? passwordsIn(url) : []));
  return [...new Set([...own, ...passwords, ...secrets])].filter((secret) => secret !== '');
}

/** As it is written in the URL and as it is meant. */
function passwordsIn(url: string): string[] {
  const { password } = new URL(url);
  try {
    return [password, decodeURIComponent(password)];
  } catch {
    return [password];
  }
}

function hostNames(host: string, publicUrl: string | undefined): string[] {
  return ['localhost', host, ...(publicUrl === undefined ? [] : [new URL(publicUrl).hostname])];
}

/** As Kubernetes tells every container. */
function kubernetesApi(environment: Layer): Config['kubernetesApi'] {
  const host = environment['KUBERNETES_SERVICE_HOST'];
  if (host === undefined || host === '') return undefined;
  return { host, port: Number(environment['KUBERNETES_SERVICE_PORT']) || 443 };
}

function freeze<T extends object>(value: T): T {
  for (const item of Object.values(value)) if (typeof item === 'object' && item !== null) freeze(item);
  return Object.freeze(value);
}
