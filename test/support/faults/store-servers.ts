/** A PostgreSQL and a Redis for one scenario alone, which may be killed, stopped and damaged, and start again where they were. */
import { chmod, mkdtemp, readdir, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type PostgresServer, startPostgres } from '../../../src/launch/postgres-server.ts';
import { migrateQueue } from '../../../src/queue/migrate-queue.ts';
import { migrate } from '../../../src/store/migrate.ts';
import { type RedisServer, startRedis } from '../redis-server.ts';

export interface StoreServer {
  url: string;
  /** As a crash does; `whileAway` happens before it is started again. */
  crash(whileAway: () => Promise<void>): Promise<void>;
  close(): Promise<void>;
}
export interface RedisOfScenario extends StoreServer {
  /** The process stands still. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
  /** Takes so much off the end of what it has written; only while it is away. */
  loseTail(share: number): Promise<void>;
}

export async function openPostgres(): Promise<StoreServer> {
  const folder = await mkdtemp(path.join(tmpdir(), 'fault-postgres-'));
  await chmod(folder, 0o755); // The server may run as another user.
  // Without fsync what is committed survives the server's death all the same: the machine keeps what was written.
  const start = () => startPostgres({ folder, fast: true, say: () => undefined });
  let server: PostgresServer = await start();
  const { url, port } = server;
  try {
    await migrate(url);
    await migrateQueue(url);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return {
    url,
    async crash(whileAway) {
      // An immediate shutdown: no checkpoint, connections break, and the next start recovers from the log.
      process.kill(server.pid, 'SIGQUIT');
      await server.died;
      await whileAway();
      server = await start();
      if (server.port !== port) throw new Error(`PostgreSQL came back on port ${server.port} instead of ${port}`);
    },
    async close() {
      await server.stop();
      await rm(server.directory, { recursive: true, force: true });
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export async function openRedis(): Promise<RedisOfScenario> {
  let server: RedisServer = await startRedis({ appendOnly: true });
  const { url, folder, port } = server;
  return {
    url,
    signal(signal) {
      if (server.pid !== undefined) process.kill(server.pid, signal);
    },
    async crash(whileAway) {
      await server.stop('SIGKILL');
      await whileAway();
      server = await startRedis({ appendOnly: true, folder, port });
    },
    async loseTail(share) {
      const directory = path.join(folder, 'appendonlydir');
      const [file] = (await readdir(directory)).filter((name) => name.endsWith('.incr.aof'));
      if (file === undefined) throw new Error(`${directory} has no *.incr.aof`);
      const { size } = await stat(path.join(directory, file));
      await truncate(path.join(directory, file), Math.floor(size * (1 - share)));
    },
    close: () => server.stop(),
  };
}
