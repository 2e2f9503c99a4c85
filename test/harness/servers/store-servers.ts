/** A PostgreSQL and a Redis of one's own, which may be killed, stopped and damaged, and start again where they were. */
import { chmod, mkdtemp, readdir, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type PostgresServer, startPostgres } from '../../../src/launch/postgres-server.ts';
import { migrateQueue } from '../../../src/queue/migrate-queue.ts';
import { migrate } from '../../../src/store/migrations/migrate.ts';
import { startRedis } from './redis-server.ts';

export interface StoreServer {
  url: string;
  /** Of the server that runs now. */
  readonly pid: number;
  /** As a crash does; `whileAway` happens before it is started again. */
  crash(whileAway: () => Promise<void>): Promise<void>;
  close(): Promise<void>;
}
export interface RestartableRedis extends StoreServer {
  /** The process stands still. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
  /** Takes so much off the end of what it has written; only while it is away. */
  loseTail(share: number): Promise<void>;
}

export async function makePostgresFolder(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'own-postgres-'));
  await chmod(folder, 0o755); // The server may run as another user.
  return folder;
}

export interface PostgresOfOnesOwn {
  folder?: string;
  /** Every commit is flushed to the disk, as in production. Without it a commit survives the server's death all the same: the machine keeps what was written. */
  durable?: boolean;
  settings?: Record<string, string>;
  /** Before the folder is removed. */
  onClosed?(): void;
}

/** With the schema of the program and that of the queue. */
export async function openPostgres(options: PostgresOfOnesOwn = {}): Promise<StoreServer> {
  const { durable = false, settings = {}, onClosed } = options;
  const folder = options.folder ?? (await makePostgresFolder());
  const start = () => startPostgres({ folder, fast: !durable, settings, say: () => undefined });
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
    get pid() {
      return server.pid;
    },
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
      onClosed?.();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** With an append-only file, which is flushed before every answer, or every second as in production. */
export async function openRedis(fsync: 'always' | 'everysec' = 'always'): Promise<RestartableRedis> {
  let server = await startRedis({ appendOnly: fsync });
  const { url, folder, port } = server;
  return {
    url,
    get pid() {
      return server.pid;
    },
    signal(signal) {
      process.kill(server.pid, signal);
    },
    async crash(whileAway) {
      await server.stop('SIGKILL');
      await whileAway();
      server = await startRedis({ appendOnly: fsync, folder, port });
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
