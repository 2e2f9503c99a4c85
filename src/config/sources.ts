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
    // Kubernetes keeps its own bookkeeping under names with a dot in front.
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
    if (content !== undefined) return { file, values: parseDotenv(content) };
  }
  return undefined;
}

function readYaml(
  folder: string,
  name: string,
  convert: (content: unknown) => Record<string, string>,
  faults: string[],
): Source | undefined {
  const content = readIfThere(path.join(folder, name));
  if (content === undefined) return undefined;
  try {
    return { file: name, values: convert(parseYaml(content) ?? {}) };
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

/** The older file's sections, beside any of our own variables in lower or upper case. */
const orchestratorYaml = z
  .object({
    database: z.strictObject({ path: value, connection_pool_size: value, timeout_seconds: value }).partial().nullish(),
    services: z.strictObject({ host: value, port: value, workers: value }).partial().nullish(),
    security: z
      .strictObject({ enable_tls: value, tls_cert_path: value, tls_key_path: value, jwt_secret: value })
      .partial()
      .nullish(),
    monitoring: z
      .strictObject({ enabled: value, metrics_interval: value, health_check_interval: value, log_level: value })
      .partial()
      .nullish(),
    enterprise: z
      .strictObject({
        service_mesh_enabled: value,
        event_streaming_enabled: value,
        circuit_breaker_enabled: value,
        rate_limiting_enabled: value,
      })
      .partial()
      .nullish(),
  })
  .catchall(value.nullable());

function fromOrchestratorYaml(content: unknown): Record<string, string> {
  const { database, services, security, monitoring, enterprise: _, ...ours } = orchestratorYaml.parse(content);
  return defined({
    DB_PATH: database?.path,
    DATABASE_POOL_SIZE: database?.connection_pool_size,
    HOST: services?.host,
    PORT: services?.port,
    ENABLE_TLS: security?.enable_tls,
    TLS_CERT_PATH: security?.tls_cert_path,
    TLS_KEY_PATH: security?.tls_key_path,
    JWT_SECRET: security?.jwt_secret,
    METRICS_ENABLED: monitoring?.enabled,
    HEALTH_CHECK_INTERVAL: monitoring?.health_check_interval,
    LOG_LEVEL: monitoring?.log_level,
    ...upperCase(ours),
  });
}

const appYaml = z.strictObject({
  services: z.record(z.string(), address).nullish(),
  redis: z.object({ url: value, host: value, port: value }).partial().nullish(),
  orchestrator: settings.nullish(),
});

function fromAppYaml(content: unknown): Record<string, string> {
  const { services, redis, orchestrator } = appYaml.parse(content);
  const urls = Object.entries(services ?? {}).map(([name, url]) => [
    `${variableName(name).replace(/_URL$/, '')}_URL`,
    url,
  ]);
  return defined({
    ...Object.fromEntries(urls),
    REDIS_URL: redis?.url,
    REDIS_HOST: redis?.host,
    REDIS_PORT: redis?.port,
    ...upperCase(orchestrator ?? {}),
  });
}

function variableName(key: string): string {
  return key.toUpperCase().replaceAll('-', '_');
}

function upperCase(values: Record<string, string | null>): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [variableName(key), value ?? undefined]));
}

function defined(values: Record<string, string | undefined>): Record<string, string> {
  const result: Record<string, string> = Object.create(null);
  for (const [name, value] of Object.entries(values)) if (value !== undefined) result[name] = value;
  return result;
}
