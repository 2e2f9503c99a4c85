/** API and workers as separate processes of the built program, for tests that kill them. */
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { test as base } from 'vitest';
import type { Process } from '../../src/compose.ts';
import { environmentWith } from '../../src/config.ts';
import { freePort } from '../../src/launch/postgres-server.ts';
import { projectRoot } from '../../src/project-root.ts';
import { type Client, openClient } from './client.ts';
import { expectRest } from './invariants.ts';
import { type RedisServer, startRedis } from './redis-server.ts';
import { startService } from './service.ts';
import {
  BACKENDS,
  type BackendKind,
  composeAt,
  type Environment,
  openPlace,
  type Place,
  type PlaceOptions,
} from './stack.ts';
import { createTestLog } from './test-log.ts';
import { until } from './until.ts';

export interface Child {
  kind: 'api' | 'worker';
  pid: number;
  /** Undefined until it is ready. */
  readonly port: number | undefined;
  /** The events that it has logged. */
  events: string[];
  isAlive(): boolean;
  /** Resolves to its exit code; null when a signal ended it. */
  ended: Promise<number | null>;
  signal(signal: NodeJS.Signals): void;
  /** Sends the signal and resolves to the exit code; null when the signal ended it. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

export interface Processes extends Place {
  /** Speaks to the API at its port, whichever process is behind it. */
  api: Client;
  start(kind: 'api' | 'worker', environment?: Environment): Promise<Child>;
  /** One in this process, where nothing happens to it: it is there at once, and does what the program does. */
  compose(kind: 'api' | 'worker', environment?: Environment): Promise<void>;
  /** Kills the Redis of this test; what it resolves to starts it again, with all that it had written. */
  killRedis(): Promise<() => Promise<void>>;
  /** The Redis of this test alone, as it runs now. */
  ownRedis(): RedisServer;
  children: Child[];
  log(): string;
}

/** What takes half a minute in production takes seconds here. */
export const HURRIED = { LOCK_DURATION_MS: '1500', STALLED_INTERVAL_MS: '1000', RECONCILE_SECONDS: '1' };
const START_MS = 30_000;
const END_MS = 20_000;

export interface ProcessesOptions extends Pick<PlaceOptions, 'environment' | 'database'> {
  /** A Redis for this test alone, which may be killed. */
  ownRedis?: boolean;
}

export function onBothBackendsInProcesses(options: ProcessesOptions = {}) {
  return BACKENDS.map((backend) => ({ backend, test: processesTest(backend, options) }));
}

export function processesTest(backend: BackendKind, options: ProcessesOptions = {}) {
  return base
    .extend('service', async ({ onTestFinished: _ }, { onCleanup }) => {
      const service = await startService();
      onCleanup(() => service.close());
      return service;
    })
    .extend('processes', { auto: true }, async ({ onTestFailed }, { onCleanup }) => {
      const processes = await openProcesses(backend, options);
      onTestFailed(() => {
        process.stderr.write(`${processes.log()}\n`);
      });
      onCleanup(async () => {
        try {
          await expectRest(processes, 30_000);
        } finally {
          await endAll(processes);
        }
      });
      return processes;
    })
    .extend('api', ({ processes }) => processes.api)
    .extend('db', ({ processes }) => processes.db);
}

async function openProcesses(backend: BackendKind, options: ProcessesOptions): Promise<Processes> {
  const environment = { ...HURRIED, ...options.environment };
  let redis = options.ownRedis === true ? await startRedis({ appendOnly: true }) : undefined;
  const place = await openPlace(backend, {
    ...options,
    environment,
    ...(redis === undefined ? {} : { redisUrl: redis.url }),
  });
  const port = await freePort();
  const children: Child[] = [];
  const lines: string[] = [];
  const log = createTestLog();
  const composed: Process[] = [];
  return {
    ...place,
    api: openClient(`http://127.0.0.1:${port}`),
    children,
    log: () => [...lines.slice(-80), log.tail()].join('\n'),
    ownRedis() {
      if (redis === undefined) throw new Error('this test has no Redis of its own');
      return redis;
    },
    async killRedis() {
      if (redis === undefined) throw new Error('this test has no Redis of its own');
      const { folder, port: redisPort } = redis;
      await redis.stop('SIGKILL');
      return async () => {
        redis = await startRedis({ appendOnly: true, folder, port: redisPort });
      };
    },
    async compose(kind, settingsOfOne = {}) {
      const process = await composeAt(place, kind, { PORT: String(port), ...settingsOfOne }, log);
      composed.push(process);
      await process.start();
    },
    async close() {
      try {
        await Promise.all(composed.map((process) => process.stop()));
      } finally {
        await place.close().finally(() => redis?.stop());
      }
    },
    async start(kind, settingsOfOne = {}) {
      const settings = { ...place.environment, PORT: String(port), ...settingsOfOne };
      const child = await startProcess({ kind, cwd: place.folder, settings, onLine: (line) => lines.push(line) });
      children.push(child);
      return child;
    },
  };
}

export interface ProcessOptions {
  kind: Child['kind'];
  /** A folder with a dist/ that is compiled and not bundled; left out: the programs of this checkout, as they are delivered. */
  root?: string;
  cwd: string;
  settings: Environment;
  /** A line of its log, with who wrote it. */
  onLine?(line: string): void;
}

/** Resolves once it is ready; rejects, with what it said, when it ends before, unless a failpoint was to end it. */
export async function startProcess({ kind, root, cwd, settings, onLine }: ProcessOptions): Promise<Child> {
  const said: string[] = [];
  const programs = root === undefined ? path.join(projectRoot(), 'dist/bin') : path.join(root, 'dist/src/bin');
  const program = path.join(programs, `${kind}.js`);
  const child = spawn(process.execPath, [program], {
    cwd,
    env: environmentWith({ ...settings, VITEST: undefined }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const started = follow(child, kind, (line) => {
    if (said.length < 100) said.push(line);
    onLine?.(line);
  });
  await until(() => started.events.includes('process.ready') || !started.isAlive(), {
    what: `the ${kind} is ready`,
    timeoutMs: START_MS,
  }).catch(async (error: unknown) => {
    await started.end('SIGKILL');
    throw error;
  });
  // A worker takes jobs before it can say that it is ready.
  const { FAILPOINTS = '' } = settings;
  const asked = FAILPOINTS.includes(':exit') && child.signalCode === 'SIGKILL';
  if (!started.isAlive() && !asked) throw new Error(`the ${kind} ended at its start:\n${said.slice(-20).join('\n')}`);
  return started;
}

function follow(child: ChildProcess, kind: Child['kind'], onLine: (line: string) => void): Child {
  const events: string[] = [];
  let port: number | undefined;
  const ended = new Promise<number | null>((resolve) => {
    child.once('exit', (code) => resolve(code));
    child.once('error', () => resolve(-1));
  });
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue;
    createInterface(stream).on('line', (line) => {
      if (line.includes('"http request"')) return;
      onLine(`${kind} ${child.pid}: ${line}`);
      const event = /"event":"([^"]+)"/.exec(line)?.[1];
      if (event !== undefined) events.push(event);
      if (event === 'process.ready') port = Number(/"port":(\d+)/.exec(line)?.[1]);
    });
  }
  const isAlive = () => child.exitCode === null && child.signalCode === null;
  return {
    kind,
    pid: child.pid ?? 0,
    get port() {
      return port;
    },
    events,
    isAlive,
    ended,
    signal: (signal) => void child.kill(signal),
    async end(signal) {
      child.kill(signal);
      return ended;
    },
  };
}

/** All that still run are asked to end, and have to do so by themselves. */
async function endAll(processes: Processes): Promise<void> {
  const alive = processes.children.filter((child) => child.isAlive());
  for (const child of alive) {
    child.signal('SIGCONT');
    child.signal('SIGTERM');
  }
  const late = async () => until(() => alive.every((child) => !child.isAlive()), { timeoutMs: END_MS });
  const stuck = await late().then(
    () => [],
    () => alive.filter((child) => child.isAlive()),
  );
  await Promise.all(stuck.map((child) => child.end('SIGKILL')));
  await processes.close();
  if (stuck.length > 0)
    throw new Error(`did not end after SIGTERM: ${stuck.map(({ kind, pid }) => `${kind} ${pid}`).join(', ')}`);
}
