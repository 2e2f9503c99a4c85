/** What the containers get of `.env`, as Compose reads the files, and what the stages of the image are. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { loadConfig } from '../../src/config/config.ts';
import { namesOf, VARIABLE_NAMES } from '../../src/config/variables.ts';

const service = z.looseObject({
  image: z.string().optional(),
  build: z.unknown().optional(),
  command: z.array(z.string()).optional(),
  ports: z.array(z.string()).optional(),
  env_file: z.array(z.object({ path: z.string(), required: z.boolean() })).optional(),
  environment: z.record(z.string(), z.union([z.string(), z.number()])).default({}),
});
type Service = z.output<typeof service>;
type Texts = Record<string, string>;

const read = (name: string): Record<string, Service> =>
  z.object({ services: z.record(z.string(), service) }).parse(parse(readFileSync(name, 'utf8'), { merge: true }))
    .services;
const MAIN = read('docker-compose.yml');
const TRACED = read('docker-compose.observability.yml');
const DEV = read('docker-compose.dev.yml');

/** A second file adds to the environment of the first one. */
const withTraces = (name: string): Service => ({
  ...(MAIN[name] as Service), // It has that service.
  environment: { ...MAIN[name]?.environment, ...TRACED[name]?.environment },
});
const ours = (services: Record<string, Service>) =>
  Object.entries(services).filter(([, { image }]) => image?.startsWith('bullmq-orchestrator') === true);
const SERVICES: Array<[string, Service]> = [
  ...ours(MAIN),
  ...['orchestrator', 'worker'].map((name): [string, Service] => [`${name} with traces`, withTraces(name)]),
  ...ours(DEV).map(([name, one]): [string, Service] => [`${name} for development`, one]),
];

/** What is not for `.env` to say: where the container itself listens and writes. */
const FIXED = ['HOST', 'PORT', 'WORKER_PORT', 'LOG_FILE', 'DATA_DIR'];

/** `${NAME:-default}`, also in a default: what Compose makes of it. */
function interpolated(text: string, env: Texts): string {
  const start = text.indexOf('${');
  if (start === -1) return text;
  let depth = 0;
  let end = start;
  for (; end < text.length; end += 1) {
    if (text.startsWith('${', end)) depth += 1;
    if (text[end] === '}') depth -= 1;
    if (text[end] === '}' && depth === 0) break;
  }
  const [, name = '', otherwise] = /^(\w+)(?::-(.*))?$/s.exec(text.slice(start + 2, end)) ?? [];
  if (otherwise === undefined) throw new Error(`${text} has no default`);
  const value = env[name] || interpolated(otherwise, env);
  return text.slice(0, start) + value + interpolated(text.slice(end + 1), env);
}

function environmentOf({ env_file, environment }: Service, env: Texts): Texts {
  const file = env_file?.some(({ path }) => path === '.env') === true ? env : {};
  const own = Object.entries(environment).map(([name, text]) => [name, interpolated(String(text), env)]);
  return { ...file, ...Object.fromEntries(own) };
}

const template = readFileSync('.env.template', 'utf8');
const inTemplate = [...template.matchAll(/^# ([A-Z][A-Z0-9_]*)=/gm)].map(([, name]) => name ?? '');

test('.env.template is where the names come from', () => {
  expect(inTemplate).toEqual(expect.arrayContaining([...VARIABLE_NAMES]));
});

describe.each(SERVICES)('the service %s', (_name, one) => {
  test('gets every variable of .env as it stands there, but for what the container itself decides', () => {
    for (const name of inTemplate.filter((candidate) => !FIXED.includes(candidate)))
      expect(environmentOf(one, { [name]: 'as-in-env' })[name], name).toBe('as-in-env');
    for (const name of FIXED) {
      const fixed = environmentOf(one, { [name]: 'as-in-env' })[name];
      expect(fixed, name).toBe(String(one.environment[name]));
    }
  });

  test('needs no .env', () => {
    expect(one.env_file).toEqual([{ path: '.env', required: false }]);
  });

  test('lets no default of its own win over another name of the same setting', () => {
    for (const name of VARIABLE_NAMES.filter((candidate) => !FIXED.includes(candidate))) {
      const [, prefixed = ''] = namesOf(name);
      const { [name]: value } = environmentOf(one, { [prefixed]: 'as-in-env' });
      // Empty counts as not set.
      expect(['as-in-env', '', undefined], name).toContain(value);
    }
  });

  test('has a configuration that works, and answers from outside its container', () => {
    const config = loadConfig(environmentOf(one, {}), { cwd: '/nowhere', listens: false });
    expect(config).toMatchObject({ host: '0.0.0.0', workerPort: 9090, dataDir: '/data', logFile: undefined });
    expect(config.redis).toMatchObject({ url: 'redis://redis:6379/0' });
    expect(() => loadConfig(environmentOf(one, { AUTH_MODE: 'auto' }), { cwd: '/nowhere', listens: false })).toThrow(
      'AUTH_MODE=none to let everybody in',
    );
    expect(loadConfig(environmentOf(one, { API_KEY: 'k' }), { cwd: '/nowhere', listens: false }).apiKeys).toEqual([
      'k',
    ]);
  });

  test('publishes its ports on this machine alone', () => {
    for (const port of one.ports ?? []) expect(interpolated(port, {})).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
  });
});

test('the orchestrator runs the default command, on the ports that the host may choose', () => {
  const { command, ports = [], environment } = MAIN['orchestrator'] as Service; // It has that service.
  expect(command).toBeUndefined();
  expect(environment['PORT']).toBe(8000);
  expect(ports.map((port) => interpolated(port, {}))).toEqual(['127.0.0.1:8000:8000', '127.0.0.1:9090:9090']);
  expect(ports.map((port) => interpolated(port, { PORT: '80', METRICS_PORT: '81' }))).toEqual([
    '127.0.0.1:80:8000',
    '127.0.0.1:81:9090',
  ]);
});

test('the one for development is on port 5099, keeps its database, and runs the sources of this folder', () => {
  const one = DEV['orchestrator'] as Service; // It has that service.
  expect(one).toMatchObject({ build: { context: '.', target: 'dev' } });
  expect(one.ports?.[0]).toBe('127.0.0.1:5099:5099');
  expect(one.environment['PORT']).toBe(5099);
  expect(one['volumes']).toEqual(expect.arrayContaining(['./src:/app/src', './workers:/app/workers', 'data:/data']));
  expect(loadConfig(environmentOf(one, {}), { cwd: '/nowhere', listens: false }).databaseUrl).toBeUndefined();
});

describe('the image', () => {
  const stages = readFileSync('Dockerfile', 'utf8')
    .split(/^FROM /m)
    .slice(1);
  const stageOf = (name: string) =>
    stages.find((stage) => stage.split('\n')[0]?.endsWith(` AS ${name}`) === true) ?? '';
  const last = stages.at(-1) ?? '';

  test('runs everything unless it is told otherwise, as a user that may write to /data', () => {
    expect(last).toMatch(/^CMD \["node", "dist\/bin\/all\.js"\]$/m);
    expect(readFileSync('scripts/bundle.mjs', 'utf8')).toMatch(/const PROGRAMS = \['all', /);
    expect(last).toMatch(/^ENV .*\bDATA_DIR=\/data$/m);
    expect(last).toMatch(/install -d -o node -g node \/data[\s\S]*^VOLUME \/data$/m);
    expect(last).toMatch(/^EXPOSE 8000 9090$/m);
  });

  test('has the compiler where live code is compiled, and not where it is served', () => {
    expect(stageOf('dev')).toMatch(/^sources AS dev$/m);
    expect(stageOf('dev')).toContain('"--run", "all", "--watch"');
    expect(stageOf('sources') + stageOf('dev')).not.toContain('npm prune');
    expect(stageOf('build')).toContain('npm prune --omit=dev');
    expect(last).toContain('COPY --from=build /app/node_modules');
  });
});
