/** What an operator, or somebody else on the same server, may do to the database. */
import pg from 'pg';
import { type Installation, OWNER, PROGRAM } from '../support/operations/installation.ts';
import { lockTable } from '../support/operations/locks.ts';
import { operationsTest } from '../support/operations/operations-test.ts';

operationsTest(
  'somebody else locks the table run: requests are told to come again, and none hangs',
  {},
  {
    inject: ({ databaseUrl }) => lockTable(databaseUrl, 'run'),
    named: ['database_blocked'],
    // What the execution is cannot be read.
    why: ['unavailable'],
    lastsMs: 12_000,
  },
);

operationsTest(
  'a statement timeout is set on the roles: the program has its own, and nothing is refused',
  {},
  {
    async inject(installation) {
      const { db } = installation;
      for (const role of [OWNER, PROGRAM]) await db.query(`ALTER ROLE ${role} SET statement_timeout = '5ms'`);
      await terminateAll(installation);
      return async () => {
        for (const role of [OWNER, PROGRAM]) await db.query(`ALTER ROLE ${role} RESET statement_timeout`);
        await terminateAll(installation);
      };
    },
    named: [],
    why: [],
  },
);

operationsTest(
  'the roles may have no connections',
  {},
  {
    async inject(installation) {
      const { db } = installation;
      for (const role of [OWNER, PROGRAM]) await db.query(`ALTER ROLE ${role} CONNECTION LIMIT 0`);
      await terminateAll(installation);
      return async () => {
        for (const role of [OWNER, PROGRAM]) await db.query(`ALTER ROLE ${role} CONNECTION LIMIT -1`);
      };
    },
    named: ['database_unreachable'],
    why: ['unavailable'],
  },
);

operationsTest(
  'others use up all connections of the server',
  { settings: { max_connections: '70' } },
  {
    inject: useUpConnections,
    named: ['database_unreachable'],
    why: ['unavailable'],
  },
);

async function terminateAll({ db }: Pick<Installation, 'db'>): Promise<number> {
  const { rowCount } = await db.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ANY($1) AND pid <> pg_backend_pid()`,
    [[OWNER, PROGRAM]],
  );
  return rowCount ?? 0;
}

/** Idle clients that take every connection the program loses, until it has none. */
async function useUpConnections(installation: Installation): Promise<() => Promise<void>> {
  const { db, databaseUrl } = installation;
  await db.query(`CREATE ROLE greedy LOGIN PASSWORD 'greedy'`);
  const url = new URL(databaseUrl);
  url.username = 'greedy';
  url.password = 'greedy';
  const taken: pg.Client[] = [];
  const take = async (): Promise<boolean> => {
    const client = new pg.Client({ connectionString: url.href, application_name: 'greedy' });
    client.on('error', () => undefined);
    try {
      await client.connect();
      taken.push(client);
      return true;
    } catch {
      return false;
    }
  };
  do {
    while (await take());
  } while ((await terminateAll(installation)) > 0);
  return async () => {
    await Promise.all(taken.map((client) => client.end()));
  };
}
