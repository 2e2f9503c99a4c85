/** The Config of the settings: each in its place, and the values that depend on several of them or on the environment. */
import { authenticationOf, isLoopback, requiresCredentials } from './authentication.ts';
import { effectiveSettings } from './effective.ts';
import { messageTenantsOf, transportOf } from './flow-transport.ts';
import { hiddenValues } from './hidden.ts';
import { findSecrets, findServices, textsOf } from './named-values.ts';
import { WITHOUT_EFFECT } from './older-names.ts';
import { type Found, find } from './read-settings.ts';
import { redisServersOf, redisUrlOf } from './redis-servers.ts';
import type { Settings } from './settings/all.ts';
import type { Layer, Source } from './sources.ts';
import type { Values } from './variables.ts';

/** With RATE_LIMITING_ENABLED, and with EVENT_STREAMING_ENABLED. */
const USUAL_RATE_LIMIT = 600;
const USUAL_STREAM = 'orchestrator:events';

interface Read {
  settings: Settings;
  values: Values;
  found: ReadonlyMap<string, Found>;
  sources: readonly Source[];
}

export function configOf({ settings, values, found, sources }: Read) {
  // What only derived values need is no property of the Config.
  const { authRequired, enterprise, redis, secretsDir, tls, ...placed } = settings;
  const authentication = authenticationOf(settings);
  const host = hostOf(settings);
  const isLocal = isLoopback(host) && !authentication.required;
  const corsOrigins = settings.corsOrigins ?? (authentication.required ? ['*'] : ['loopback']);
  const egressPolicy = settings.egressPolicy ?? (isLocal ? 'internal' : 'registered');
  const services = findServices(settings.services, sources, found.get('SERVICES'));
  const secrets = findSecrets(secretsDir, sources);
  const rateLimitPerMinute = settings.rateLimitPerMinute ?? (enterprise.rateLimiting ? USUAL_RATE_LIMIT : 0);
  const eventsStream = eventsStreamOf(settings);
  const shown = {
    ...values,
    ...{ HOST: host, EGRESS_POLICY: egressPolicy, CORS_ORIGINS: corsOrigins, REDIS_URL: redisUrlOf(redis) },
    ...{ RATE_LIMIT_PER_MINUTE: rateLimitPerMinute, EVENTS_STREAM: eventsStream?.name },
  };
  const hidden = hiddenValues(shown, Object.values(textsOf(secrets)));
  const withoutEffect = Object.keys(WITHOUT_EFFECT).filter(
    (name) => find(sources, [name, `ORCHESTRATOR_${name}`]) !== undefined,
  );
  const environment = sources[0]?.values ?? {};
  return {
    ...placed,
    host,
    authentication,
    corsOrigins,
    /** 0: no limit. */
    rateLimitPerMinute,
    /** The host names that requests may use; undefined: any. */
    hostNames: isLocal ? hostNamesOf(host, settings.publicUrl) : undefined,
    /** Undefined: the queue is in PostgreSQL. */
    redis: redisServersOf(redis),
    egressPolicy,
    /** The API of the cluster that this process runs in. */
    kubernetesApi: kubernetesApiOf(environment),
    /** All that a kubectl sees of the environment of this process. */
    kubectlEnvironment: kubectlEnvironmentOf(settings, environment),
    /** Base URLs without a slash at their ends, by lower_snake name. */
    services: textsOf(services),
    adapterSettings: adapterSettingsOf(settings),
    secrets: textsOf(secrets),
    eventsStream,
    /** Undefined: no messages of flow runs come or go. */
    transport: transportOf(settings),
    /** Whose runs may come by messages; `*`: anybody’s. */
    messageTenants: messageTenantsOf(settings),
    traceExport: traceExportOf(settings),
    /** This process is a script of npm, which ends it by ending itself. */
    startedByNpm: environment['npm_lifecycle_event'] !== undefined,
    /** Variables that are set and have no effect in this version; they are logged at start. */
    withoutEffect,
    /** Values that must never appear in a log. */
    hidden,
    /** All settings with their sources, without secrets. */
    effective: effectiveSettings({
      values: shown,
      found,
      services: [...services.values()],
      secrets: [...secrets.values()],
      withoutEffect,
      hidden,
    }),
  };
}

/** Without authentication only this machine is served, unless AUTH_MODE says otherwise. */
export function hostOf(settings: Settings): string {
  const isOpen = requiresCredentials(settings) || settings.authMode === 'none';
  return settings.host ?? (isOpen ? '0.0.0.0' : '127.0.0.1');
}

function hostNamesOf(host: string, publicUrl: string | undefined): string[] {
  return ['localhost', host, ...(publicUrl === undefined ? [] : [new URL(publicUrl).hostname])];
}

/** Kubernetes sets these variables in every container. */
function kubernetesApiOf(environment: Layer): { host: string; port: number } | undefined {
  const host = environment['KUBERNETES_SERVICE_HOST'];
  if (host === undefined || host === '') return undefined;
  return { host, port: Number(environment['KUBERNETES_SERVICE_PORT']) || 443 };
}

const KUBECTL_NEEDS: readonly string[] = ['PATH', 'HOME', 'KUBECONFIG'];

/** No setting of the service itself is among them unless KUBECTL_ENV names it. */
function kubectlEnvironmentOf({ kubernetes }: Settings, environment: Layer): Readonly<Record<string, string>> {
  const passed = new Set([...KUBECTL_NEEDS, ...kubernetes.kubectlVariables]);
  const entries = Object.entries(environment).flatMap(([name, value]) =>
    value !== undefined && (passed.has(name) || name.startsWith('KUBERNETES_SERVICE_')) ? [[name, value] as const] : [],
  );
  return Object.fromEntries(entries);
}

/** Those that are set, by the names that adapters know. */
function adapterSettingsOf({ adapterSettings }: Settings): Partial<Record<keyof typeof adapterSettings, string>> {
  return Object.fromEntries(
    Object.entries(adapterSettings).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

/** Undefined: events go to no stream. */
function eventsStreamOf({ eventsStream, enterprise }: Settings) {
  const name = eventsStream.name ?? (enterprise.eventStreaming ? USUAL_STREAM : undefined);
  return name === undefined ? undefined : { name, maxLength: eventsStream.maxLength };
}

/** Undefined: traces are not exported. */
function traceExportOf({ traceExport }: Settings) {
  const { endpoint, tracesEndpoint, headers, disabled, ...rest } = traceExport;
  const url = tracesEndpoint ?? (endpoint === undefined ? undefined : `${endpoint.replace(/\/+$/, '')}/v1/traces`);
  if (url === undefined || disabled) return undefined;
  return { ...rest, url, headers: Object.fromEntries(headers ?? []) };
}
