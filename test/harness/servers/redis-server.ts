/** A real Redis, started here; on Debian it is installed when it is missing. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from '../../../src/launch/postgres-server.ts';
import { until } from '../until.ts';

export interface RedisServer {
  url: string;
  port: number;
  pid: number;
  folder: string;
  /** `SIGKILL` leaves the files as they are, for a start with the same folder. */
  stop(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>;
}

/** With a folder and port given it goes on where it was. */
export async function startRedis(
  options: {
    appendOnly?: 'always' | 'everysec';
    folder?: string;
    port?: number;
    password?: string;
    settings?: string[];
  } = {},
): Promise<RedisServer> {
  const program = findProgram();
  const folder = options.folder ?? mkdtempSync(path.join(tmpdir(), 'own-redis-'));
  const port = options.port ?? (await freePort());
  const settings = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--dir',
    folder,
    '--save',
    '',
    '--maxmemory-policy',
    'noeviction',
    ...(options.password === undefined ? [] : ['--requirepass', options.password]),
    ...(options.settings ?? []),
  ];
  const durability =
    options.appendOnly === undefined
      ? ['--appendonly', 'no']
      : ['--appendonly', 'yes', '--appendfsync', options.appendOnly];
  const child = spawn(program, [...settings, ...durability], { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  const url = `redis://${options.password === undefined ? '' : `:${options.password}@`}127.0.0.1:${port}/0`;
  try {
    await until(() => answersAt(url), { what: `${program} answers on port ${port}`, timeoutMs: 20_000 });
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  return {
    url,
    port,
    pid: child.pid ?? 0,
    folder,
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      await ended;
      if (signal === 'SIGTERM') rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Whether `startRedis` can. */
export function canStartRedis(): boolean {
  try {
    return findProgram() !== '';
  } catch {
    return false;
  }
}

/** The program of a Redis, which is one of a Sentinel too. */
export function findProgram(): string {
  const found = onPath();
  if (found !== undefined) return found;
  if (process.getuid?.() === 0 && existsSync('/etc/debian_version')) {
    const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const install = ['install', '-y', '--no-install-recommends', '-o', 'Dpkg::Use-Pty=0', 'redis-server'];
    for (const args of [['update'], install]) spawnSync('apt-get', args, { env: environment, stdio: 'ignore' });
    const installed = onPath();
    if (installed !== undefined) return installed;
  }
  throw new Error('A Redis is needed: install redis-server or valkey-server.');
}

function onPath(): string | undefined {
  return ['redis-server', 'valkey-server'].find(
    (name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0,
  );
}

/** Whether a Redis is there. */
export async function answersAt(url: string): Promise<boolean> {
  const client = new Redis(url, {
    lazyConnect: true,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    connectTimeout: 2_000,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return (await client.ping()) === 'PONG';
  } catch {
    return false;
  } finally {
    client.disconnect();
  }
}
