import pg from 'pg';
import { makePostgresFolder, openPostgres, type StoreServer } from '../../harness/servers/store-servers.ts';
import { mountSmallDisk, type SmallDisk } from '../small-disk.ts';

/** A PostgreSQL on a file system of its own, where the machine lets us mount one (Linux, as root). */
export interface PostgresOnSmallDisk extends StoreServer {
  /** Whether what fills up is a real file system. */
  isReal: boolean;
  /** Nothing more can be written, until the function that it resolves to is called. */
  fill(): Promise<() => Promise<void>>;
}

const SMALL_DISK_MB = 320;

export async function openPostgresOnSmallDisk(): Promise<PostgresOnSmallDisk> {
  const folder = await makePostgresFolder();
  const disk = diskIfAny(folder);
  const server = await openPostgres({ folder, onClosed: () => disk?.unmount() });
  return {
    url: server.url,
    get pid() {
      return server.pid;
    },
    crash: (whileAway) => server.crash(whileAway),
    close: () => server.close(),
    isReal: disk !== undefined,
    fill: () => (disk === undefined ? refuseWrites(server.url) : disk.fill()),
  };
}

function diskIfAny(folder: string): SmallDisk | undefined {
  try {
    return mountSmallDisk(folder, SMALL_DISK_MB);
  } catch {
    return undefined;
  }
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
