/** Where settings come from: the environment, `.env`, config/orchestrator.yaml, config/app.yaml; the first one wins. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { parse as parseDotenv } from 'dotenv';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';

/** Text by name, as in an environment. */
export type Layer = Readonly<Record<string, string | undefined>>;
export interface Source {
  /** For messages: undefined is the environment itself. */
  file: string | undefined;
  values: Layer;
  /** By name, how the file spells it where it does so in another way: `monitoring.log_level`. */
  spellings?: Layer;
  /** The file has only settings of this service, so an unknown name in it is a mistake. */
  closed?: true;
}

/** Adds what is wrong to `faults`. */
export function readSources(environment: Layer, folder: string, faults: string[]): Source[] {
  return [
    { file: undefined, values: environment },
    readDotenv(folder),
    readYaml(folder, 'config/orchestrator.yaml', fromOrchestratorYaml, faults),
    readYaml(folder, 'config/app.yaml', fromAppYaml, faults),
  ].filter((source) => source !== undefined);
}

/** File name -> content, without the line end that editors add. */
export function readSecretFiles(folder: string): Map<string, string> {
  const secrets = new Map<string, string>();
  for (const name of listing(folder)) {
    const file = path.join(folder, name);
    // Kubernetes uses names that start with a dot for its own files.
    if (name.startsWith('.') || !statSync(file, { throwIfNoEntry: false })?.isFile()) continue;
    secrets.set(name, readFileSync(file, 'utf8').replace(/\r?\n$/, ''));
  }
  return secrets;
}

function listing(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // The folder is optional.
  }
}

function readDotenv(folder: string): Source | undefined {
  for (const file of [path.join(folder, '.env'), path.join(folder, '..', '.env')]) {
    const content = readIfThere(file);
    if (content !== undefined) return { file: path.relative(folder, file), values: parseDotenv(content) };
  }
  return undefined;
}

function readYaml(
  folder: string,
  name: string,
  convert: (content: unknown) => Entry[],
  faults: string[],
): Source | undefined {
  const content = readIfThere(path.join(folder, name));
  if (content === undefined) return undefined;
  try {
    return { file: name, closed: true, ...layered(convert(parseYaml(content) ?? {})) };
  } catch (error) {
    const why =
      error instanceof z.ZodError
        ? z.prettifyError(error).replaceAll('\n', ' ')
        : String((error as Error).message).split('\n')[0];
    faults.push(`${name}: ${why}`);
    return undefined;
  }
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR') return undefined;
    throw error;
  }
}

const scalar = z.union([z.string(), z.number(), z.boolean()]).transform(String);
const value = z.union([scalar, z.array(scalar).transform((items) => JSON.stringify(items))]);
const address = z.union([
  z.string(),
  z.looseObject({ url: z.string() }).transform(({ url }) => url),
  z.looseObject({ base_url: z.string() }).transform(({ base_url }) => base_url),
]);
const settings = z.record(z.string(), value.nullable());

/** The sections of the older file: section -> key -> the setting that it is. */
export const OLDER_KEYS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  database: {
    path: 'DB_PATH',
    connection_pool_size: 'DATABASE_POOL_SIZE',
    timeout_seconds: 'DATABASE_TIMEOUT_SECONDS',
  },
  services: { host: 'HOST', port: 'PORT', workers: 'SERVICE_WORKERS' },
  security: {
    enable_tls: 'ENABLE_TLS',
    tls_cert_path: 'TLS_CERT_PATH',
    tls_key_path: 'TLS_KEY_PATH',
    jwt_secret: 'JWT_SECRET',
  },
  monitoring: {
    enabled: 'METRICS_ENABLED',
    metrics_interval: 'METRICS_INTERVAL',
    health_check_interval: 'HEALTH_CHECK_INTERVAL',
    log_level: 'LOG_LEVEL',
  },
  enterprise: {
    service_mesh_enabled: 'SERVICE_MESH_ENABLED',
    event_streaming_enabled: 'EVENT_STREAMING_ENABLED',
    circuit_breaker_enabled: 'CIRCUIT_BREAKER_ENABLED',
    rate_limiting_enabled: 'RATE_LIMITING_ENABLED',
  },
};

const olderSections = z.object(
  Object.fromEntries(
    Object.entries(OLDER_KEYS).map(([section, keys]) => [
      section,
      z.strictObject(Object.fromEntries(Object.keys(keys).map((key) => [key, value.nullish()]))).nullish(),
    ]),
  ),
);

/** Beside those sections any of our own variables may stand, in lower or upper case. */
const ownSettings = z.record(z.string(), value.nullable());

function fromOrchestratorYaml(content: unknown): Entry[] {
  const all = z.record(z.string(), z.unknown()).parse(content);
  const isSection = (key: string) => Object.hasOwn(OLDER_KEYS, key);
  const sections = olderSections.parse(all);
  const ours = ownSettings.parse(Object.fromEntries(Object.entries(all).filter(([key]) => !isSection(key))));
  const older = Object.entries(OLDER_KEYS).flatMap(([section, keys]) =>
    Object.entries(keys).map(
      ([key, name]): Entry => [name, `${section}.${key}`, sections[section]?.[key] ?? undefined],
    ),
  );
  return [...older, ...inCapitals(ours, '')];
}

const appYaml = z.strictObject({
  services: z.record(z.string(), address).nullish(),
  redis: z.object({ url: value, host: value, port: value }).partial().nullish(),
  orchestrator: settings.nullish(),
});

function fromAppYaml(content: unknown): Entry[] {
  const { services, redis, orchestrator } = appYaml.parse(content);
  return [
    ...Object.entries(services ?? {}).map(
      ([name, url]): Entry => [`${variableName(name).replace(/_URL$/, '')}_URL`, `services.${name}`, url],
    ),
    ['REDIS_URL', 'redis.url', redis?.url],
    ['REDIS_HOST', 'redis.host', redis?.host],
    ['REDIS_PORT', 'redis.port', redis?.port],
    ...inCapitals(orchestrator ?? {}, 'orchestrator.'),
  ];
}

/** Our name, the key of the file, what stands there. */
type Entry = [name: string, key: string, text: string | undefined];

function inCapitals(values: Record<string, string | null>, section: string): Entry[] {
  return Object.entries(values).map(([key, value]) => [variableName(key), `${section}${key}`, value ?? undefined]);
}

function variableName(key: string): string {
  return key.toUpperCase().replaceAll('-', '_');
}

function layered(entries: readonly Entry[]): Pick<Source, 'values' | 'spellings'> {
  const values: Record<string, string> = Object.create(null);
  const spellings: Record<string, string> = Object.create(null);
  for (const [name, key, text] of entries) {
    if (text === undefined) continue;
    values[name] = text;
    spellings[name] = key;
  }
  return { values, spellings };
}
