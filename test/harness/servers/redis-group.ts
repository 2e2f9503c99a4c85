/** Several Redis servers that stand in for one another: a pair behind Sentinels, and a Cluster. For one test alone. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Cluster, Redis } from 'ioredis';
import { freePort, isFree } from '../../../src/launch/postgres-server.ts';
import { createClosing } from '../closing.ts';
import type { Environment } from '../processes/process.ts';
import { until } from '../until.ts';
import { answersAt, findProgram, type RedisServer, startRedis } from './redis-server.ts';

export interface RedisGroup {
  /** How processes are told of it. */
  environment: Environment;
  client: Redis | Cluster;
  /** Of the servers that have data. */
  ports: readonly number[];
  /** The port of the server that has this key. */
  primaryOf(key: string): Promise<number>;
  /** Over a connection of its own. */
  ask<T>(port: number, ask: (server: Redis) => Promise<T>): Promise<T>;
  /** At once, as a machine that is lost; resolves to what starts it again with all that it had. */
  kill(port: number): Promise<() => Promise<void>>;
  /** The process of that server stands still, as a machine that cannot be reached. */
  signal(port: number, signal: 'SIGSTOP' | 'SIGCONT'): void;
  close(): Promise<void>;
}

const SENTINELS = 3;
const MASTERS = 3;
const SLOTS = 16_384;
const NAME = 'queue';
const PASSWORD = 'of-the-servers';
const SENTINEL_PASSWORD = 'of-the-sentinels';
/** After this silence a server counts as lost. */
const LOST_MS = 1_500;
/** As in production. */
const COMMON = { appendOnly: 'everysec', password: PASSWORD } as const;
const MASTER_AUTH = ['--masterauth', PASSWORD];
/** Of the client, which must not wait for a server that stands still. */
const WATCHES = { connectionName: 'test', password: PASSWORD, socketTimeout: 3_000 };
/** The servers of a Cluster speak to each other at a port that is higher by so much. */
const BUS = 10_000;

/** A primary with one replica, and three Sentinels of which two have to agree. */
export async function startSentinelPair(): Promise<RedisGroup> {
  const closing = createClosing();
  try {
    const servers = openServers(closing.push);
    const primary = await servers.start([]);
    const replica = await servers.start(['--replicaof', '127.0.0.1', String(primary)]);
    const sentinels: number[] = [];
    for (let n = 0; n < SENTINELS; n += 1) sentinels.push(await startSentinel(primary, closing.push));
    const client = new Redis({
      sentinels: sentinels.map((port) => ({ host: '127.0.0.1', port })),
      name: NAME,
      sentinelPassword: SENTINEL_PASSWORD,
      ...WATCHES,
    });
    client.on('error', () => undefined);
    closing.push(() => client.disconnect());
    await until(() => areReady(sentinels), { what: 'the Sentinels know each other and the replica' });
    return {
      environment: {
        REDIS_SENTINELS: sentinels.map((port) => `127.0.0.1:${port}`).join(','),
        REDIS_SENTINEL_NAME: NAME,
        REDIS_SENTINEL_PASSWORD: SENTINEL_PASSWORD,
        REDIS_PASSWORD: PASSWORD,
      },
      client,
      ports: [primary, replica],
      primaryOf: () => primaryOf(sentinels),
      ask: asked,
      kill: servers.kill,
      signal: servers.signal,
      close: closing.close,
    };
  } catch (error) {
    await closing.close().catch(() => undefined);
    throw error;
  }
}

/** Three masters with a third of the slots each, and a replica of each. */
export async function startCluster(): Promise<RedisGroup> {
  const closing = createClosing();
  try {
    const servers = openServers(closing.push);
    const timeout = ['--cluster-node-timeout', String(LOST_MS), '--cluster-replica-validity-factor', '0'];
    const ports: number[] = [];
    for (let n = 0; n < 2 * MASTERS; n += 1)
      ports.push(await servers.start(['--cluster-enabled', 'yes', ...timeout], await portWithBus()));
    await introduce(ports);
    const nodes = ports.map((port) => ({ host: '127.0.0.1', port }));
    const client = new Cluster(nodes, { redisOptions: WATCHES, slotsRefreshInterval: 1_000 });
    client.on('error', () => undefined);
    closing.push(() => client.disconnect());
    return {
      environment: {
        REDIS_CLUSTER: ports.map((port) => `127.0.0.1:${port}`).join(','),
        REDIS_PASSWORD: PASSWORD,
      },
      client,
      ports,
      async primaryOf(key) {
        const slot = Number(await client.cluster('KEYSLOT', key));
        return Number(client.slots[slot]?.[0]?.split(':')[1]);
      },
      ask: asked,
      kill: servers.kill,
      signal: servers.signal,
      close: closing.close,
    };
  } catch (error) {
    await closing.close().catch(() => undefined);
    throw error;
  }
}

/** The data servers of a group, by port. */
function openServers(push: (step: () => unknown) => void) {
  const running = new Map<number, { server: RedisServer; settings: string[] }>();
  const at = (port: number) => {
    const found = running.get(port);
    if (found === undefined) throw new Error(`no server runs at port ${port}`);
    return found;
  };
  return {
    async start(settings: string[], given?: number): Promise<number> {
      const where = given === undefined ? {} : { port: given };
      const server = await startRedis({ ...COMMON, settings: [...MASTER_AUTH, ...settings], ...where });
      const { port, folder } = server;
      running.set(port, { server, settings });
      push(async () => {
        await running.get(port)?.server.stop('SIGKILL');
        rmSync(folder, { recursive: true, force: true });
      });
      return port;
    },
    async kill(port: number) {
      const { server, settings } = at(port);
      await server.stop('SIGKILL');
      running.delete(port);
      return async () => {
        const again = await startRedis({
          ...COMMON,
          settings: [...MASTER_AUTH, ...settings],
          port,
          folder: server.folder,
        });
        running.set(port, { server: again, settings });
      };
    },
    signal: (port: number, signal: 'SIGSTOP' | 'SIGCONT') => void process.kill(at(port).server.pid, signal),
  };
}

async function startSentinel(primary: number, push: (step: () => unknown) => void): Promise<number> {
  const port = await freePort();
  const folder = mkdtempSync(path.join(tmpdir(), 'own-sentinel-'));
  const file = path.join(folder, 'sentinel.conf');
  // It writes into this file what it finds out.
  writeFileSync(
    file,
    `port ${port}
bind 127.0.0.1
dir ${folder}
requirepass ${SENTINEL_PASSWORD}
sentinel monitor ${NAME} 127.0.0.1 ${primary} 2
sentinel auth-pass ${NAME} ${PASSWORD}
sentinel down-after-milliseconds ${NAME} ${LOST_MS}
sentinel failover-timeout ${NAME} 5000
`,
  );
  const child = spawn(findProgram(), [file, '--sentinel'], { stdio: 'ignore' });
  push(() => end(child, folder));
  await until(() => answersAt(`redis://:${SENTINEL_PASSWORD}@127.0.0.1:${port}`), {
    what: `the Sentinel answers on port ${port}`,
  });
  return port;
}

async function end(child: ChildProcess, folder: string): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  if (child.exitCode === null && child.signalCode === null) {
    child.kill('SIGKILL');
    await ended;
  }
  rmSync(folder, { recursive: true, force: true });
}

/** What most of them say: one that has only just come back may not have heard of it. */
async function primaryOf(sentinels: readonly number[]): Promise<number> {
  const said = await Promise.all(
    sentinels.map((port) =>
      asked(port, (one) => one.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME), SENTINEL_PASSWORD),
    ),
  );
  const ports = said.map((address) => Number((address as string[])[1])); // Host and port.
  return ports.toSorted((one, other) => one - other)[Math.floor(ports.length / 2)] ?? 0;
}

async function areReady(sentinels: readonly number[]): Promise<boolean> {
  const known = sentinels.map((port) =>
    asked(
      port,
      async (sentinel) => {
        const fields = (await sentinel.call('SENTINEL', 'MASTER', NAME)) as string[]; // Names and values in turn.
        const fieldOf = (name: string) => fields[fields.indexOf(name) + 1];
        return fieldOf('num-other-sentinels') === String(SENTINELS - 1) && fieldOf('num-slaves') === '1';
      },
      SENTINEL_PASSWORD,
    ),
  );
  return (await Promise.all(known)).every(Boolean);
}

/** The servers get to know each other, and who has what. */
async function introduce(ports: readonly number[]): Promise<void> {
  const masters = ports.slice(0, MASTERS);
  const [first = 0] = masters;
  for (const [index, port] of ports.entries()) {
    await asked(port, async (node) => {
      await node.cluster('SET-CONFIG-EPOCH', index + 1);
      await node.cluster('MEET', '127.0.0.1', first);
    });
  }
  const share = Math.ceil(SLOTS / MASTERS);
  for (const [index, port] of masters.entries()) {
    const from = index * share;
    const slots = Array.from({ length: Math.min(share, SLOTS - from) }, (_, n) => from + n);
    await asked(port, (node) => node.cluster('ADDSLOTS', ...slots));
  }
  const all = `cluster_known_nodes:${ports.length}`;
  await until(async () => (await infosOf(ports)).every((info) => info.includes(all)), { what: 'all nodes know all' });
  for (const [index, port] of ports.slice(MASTERS).entries()) {
    const id = String(await asked(masters[index] ?? 0, (node) => node.cluster('MYID')));
    await until(() => asked(port, (node) => node.cluster('REPLICATE', id)), { what: `${port} is a replica` });
  }
  const isInSync = (port: number) =>
    asked(port, async (node) => /master_link_status:up/.test(await node.info('replication')));
  await until(async () => (await infosOf(ports)).every((info) => info.includes('cluster_state:ok')), {
    what: 'the Cluster serves all slots',
  });
  for (const port of ports.slice(MASTERS)) await until(() => isInSync(port), { what: `${port} has what it copies` });
}

function infosOf(ports: readonly number[]): Promise<string[]> {
  return Promise.all(ports.map((port) => asked(port, async (node) => String(await node.cluster('INFO')))));
}

async function asked<T>(port: number, ask: (server: Redis) => Promise<T>, password = PASSWORD): Promise<T> {
  const server = new Redis(port, '127.0.0.1', { ...WATCHES, password, retryStrategy: () => null });
  server.on('error', () => undefined);
  return ask(server).finally(() => server.disconnect());
}

/** Both are below the ephemeral ports of outgoing connections. */
async function portWithBus(): Promise<number> {
  for (;;) {
    const port = (await freePort()) - BUS;
    if (port >= BUS && (await isFree(port))) return port;
  }
}
