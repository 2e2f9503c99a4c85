/** A PostgreSQL and a Redis for one scenario alone, which may be killed, stopped and damaged, and start again where they were. */
import { spawnSync } from 'node:child_process';
import { chmod, mkdtemp, open, readdir, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
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

/** A PostgreSQL on a file system of its own, where the machine lets us mount one (Linux, as root). */
export interface PostgresOnSmallDisk extends StoreServer {
  /** Whether what fills up is a real file system. */
  isReal: boolean;
  /** Nothing more can be written, until the function that it resolves to is called. */
  fill(): Promise<() => Promise<void>>;
}

const SMALL_DISK_MB = 320;

export async function openPostgresOnSmallDisk(): Promise<PostgresOnSmallDisk> {
  const folder = await makeFolder();
  const isReal = mountSmall(folder);
  const server = await openPostgres(folder, () => {
    if (isReal) spawnSync('umount', [folder]);
  });
  return {
    ...server,
    isReal,
    fill: () => (isReal ? fillDisk(folder) : refuseWrites(server.url)),
  };
}

function mountSmall(folder: string): boolean {
  const options = ['-t', 'tmpfs', '-o', `size=${SMALL_DISK_MB}m,mode=0755`, 'tmpfs', folder];
  return process.platform === 'linux' && process.getuid?.() === 0 && spawnSync('mount', options).status === 0;
}

async function fillDisk(folder: string): Promise<() => Promise<void>> {
  const file = path.join(folder, 'filling');
  const block = Buffer.alloc(1024 * 1024);
  const filling = await open(file, 'w');
  try {
    for (;;) await filling.write(block);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    await filling.close();
  }
  return () => rm(file);
}

/** Where there is no small file system to be had: the server itself answers as it does when its disk is full. */
async function refuseWrites(url: string): Promise<() => Promise<void>> {
  const query = async (sql: string) => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query(sql).finally(() => client.end());
  };
  await query(`
    CREATE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
    CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON run FOR EACH STATEMENT EXECUTE FUNCTION disk_is_full();
    CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON task FOR EACH STATEMENT EXECUTE FUNCTION disk_is_full()`);
  return () => query('DROP FUNCTION disk_is_full() CASCADE');
}

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'fault-postgres-'));
  await chmod(folder, 0o755); // The server may run as another user.
  return folder;
}

export async function openPostgres(given?: string, onClosed: () => void = () => undefined): Promise<StoreServer> {
  const folder = given ?? (await makeFolder());
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
      onClosed();
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
