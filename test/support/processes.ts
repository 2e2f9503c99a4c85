/** API and workers as separate processes of the built program, for tests that kill them. */
import { test as base } from 'vitest';
import type { Process } from '../../src/compose/processes.ts';
import { freePort } from '../../src/launch/postgres-server.ts';
import { expectRest } from '../harness/checker/at-rest.ts';
import { describeUnfinished } from '../harness/checker/stuck-runs.ts';
import { type Client, openClient } from '../harness/client/client.ts';
import { createClosing } from '../harness/closing.ts';
import { reportFailure } from '../harness/failure-log.ts';
import { type Child, type Environment, endOrKill, HURRIED, startProcess } from '../harness/processes/process.ts';
import { BACKENDS, type BackendKind } from '../harness/servers/backends.ts';
import type { RedisGroup } from '../harness/servers/redis-group.ts';
import { type RedisServer, startRedis } from '../harness/servers/redis-server.ts';
import { startService } from '../harness/services/service.ts';
import { createTestLog } from '../harness/test-log.ts';
import { composeAt, openPlace, type Place, type PlaceOptions } from './stack.ts';

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
  redisGroup(): RedisGroup;
  children: Child[];
  log(): string;
}

const END_MS = 60_000;

export interface ProcessesOptions extends Pick<PlaceOptions, 'environment' | 'database'> {
  /** A Redis for this test alone, which may be killed. */
  ownRedis?: boolean;
  /** Several servers, for this test alone. */
  redisGroup?: () => Promise<RedisGroup>;
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
    .extend('processes', { auto: true }, async ({ task, onTestFailed }, { onCleanup }) => {
      const processes = await openProcesses(backend, options);
      const checked = { ...processes, redis: processes.queueStore };
      let unfinished = '';
      onTestFailed((test) => reportFailure(test, `${processes.log()}\n${unfinished}`));
      onCleanup(async () => {
        // While those that can say why still run.
        if (task.result?.state === 'fail') unfinished = await describeUnfinished(checked);
        try {
          await expectRest(checked);
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
  let redis = options.ownRedis === true ? await startRedis({ appendOnly: 'always' }) : undefined;
  const group = await options.redisGroup?.();
  const place = await openPlace(backend, {
    environment,
    ...(options.database === undefined ? {} : { database: options.database }),
    ...(redis === undefined ? {} : { redisUrl: redis.url }),
    ...(group === undefined ? {} : { redisGroup: group }),
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
    redisGroup() {
      if (group === undefined) throw new Error('this test has no group of its own');
      return group;
    },
    async killRedis() {
      if (redis === undefined) throw new Error('this test has no Redis of its own');
      const { folder, port: redisPort } = redis;
      await redis.stop('SIGKILL');
      return async () => {
        redis = await startRedis({ appendOnly: 'always', folder, port: redisPort });
      };
    },
    async compose(kind, settingsOfOne = {}) {
      const process = await composeAt(place, kind, { PORT: String(port), ...settingsOfOne }, log);
      composed.push(process);
      await process.start();
    },
    async close() {
      const closing = createClosing();
      closing.push(() => group?.close());
      closing.push(() => redis?.stop());
      closing.push(() => place.close());
      closing.push(() => Promise.all(composed.map((process) => process.stop())));
      await closing.close();
    },
    async start(kind, settingsOfOne = {}) {
      const settings = { ...place.environment, PORT: String(port), ...settingsOfOne };
      const child = await startProcess({ kind, cwd: place.folder, settings, onLine: (line) => lines.push(line) });
      children.push(child);
      return child;
    },
  };
}

/** All that still run are asked to end, and have to do so by themselves. */
async function endAll(processes: Processes): Promise<void> {
  const ends = await Promise.all(
    processes.children.map(async (child) => ({ child, how: await endOrKill(child, END_MS) })),
  );
  await processes.close();
  const stuck = ends.filter(({ how }) => how === 'killed').map(({ child: { kind, pid } }) => `${kind} ${pid}`);
  if (stuck.length > 0) throw new Error(`did not end after SIGTERM: ${stuck.join(', ')}`);
}
