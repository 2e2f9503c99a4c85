/** Every SQL statement of the program is one that every supported PostgreSQL can prepare. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PostgresServer } from '../../src/launch/postgres-server.ts';
import { migrateQueue } from '../../src/queue/migrate-queue.ts';
import { migrate } from '../../src/store/migrations/migrate.ts';
import { SUPPORTED_MAJORS, startPostgresOf } from '../support/postgres-versions.ts';
import { createTestDatabase } from '../support/servers.ts';
import type { SiteTexts } from '../support/statements/plugin.ts';
import { type Recorded, recordStatements } from '../support/statements/recorded.ts';
import { statementLikes } from '../support/statements/sites.ts';

/** What cannot be prepared, or is had only where it is run. The tests named run on 14 and 16 too, and on 18. */
const ELSEWHERE: ReadonlyMap<string, string> = new Map([
  ['src/store/migrations/migration-script.ts', 'runs the migrations, which every version is brought to below'],
  [
    'src/store/migrations/partitions.ts',
    'makes and moves tables whose names it makes: test/integration/partitions.test.ts',
  ],
  ['src/store/core/listener.ts', 'LISTEN, with a name: every run that is waited for'],
  ['src/queue/shared-listener.ts', 'LISTEN, of the queue: test/integration/shared-listener.test.ts'],
  [
    'src/store/migrations/table-statistics.ts',
    'ANALYZE, of tables that have grown: test/integration/table-statistics.test.ts',
  ],
  ['src/store/core/database.ts', 'what each connection is set to: every test with a server'],
]);

/** PostgreSQL prepares these alone. */
const PREPARABLE = /^\s*(?:--.*\n\s*)*(?:SELECT|WITH|INSERT|UPDATE|DELETE|MERGE|VALUES)\b/i;
/** In no transaction, so not to be undone; whoever starts a server has run it. */
const ALONE = /^\s*CREATE DATABASE\b/;
const TRANSACTIONS = /^\s*(?:BEGIN|COMMIT|ROLLBACK)\b/;

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

interface Statement {
  /** A file, and the line of what sends it. */
  where: string;
  text: string;
}

interface Source {
  file: string;
  code: string;
  sites: SiteTexts[];
}

let sources: Source[];
let recorded: Recorded[];
let statements: Statement[];

beforeAll(async () => {
  sources = await Promise.all(filesOf('src', 'workers').map(sourceOf));
  const database = await createTestDatabase();
  const pool = new pg.Pool({ connectionString: database.url, max: 1 });
  recorded = await recordStatements(pool);
  await pool.end();
  await database.drop();
  const own = sources.flatMap(({ file, sites }) =>
    sites.flatMap(({ line, texts }) => (texts?.() ?? []).map((text) => ({ where: `${file}:${line}`, text }))),
  );
  const others = recorded.map(({ text, stack }) => ({ where: placeIn(stack), text }));
  statements = [...new Map([...own, ...others].map((each) => [each.text, each])).values()];
});

test('no statement of the source is missed', () => {
  const unseen = sources.flatMap(({ file, sites }) =>
    sites.filter((site) => site.texts === undefined && !wasRecorded(file, site)).map(({ line }) => `${file}:${line}`),
  );
  expect(unseen.filter((where) => !ELSEWHERE.has(where.replace(/:\d+$/, '')))).toEqual([]);
  // However it is sent: what begins like a statement is within one that is prepared.
  const lost = sources.flatMap(({ file, code }) =>
    statementLikes(code)
      .filter(({ text }) => !statements.some((statement) => statement.text.includes(text)))
      .map(({ line }) => `${file}:${line}`),
  );
  expect(lost.filter((where) => !ELSEWHERE.has(where.replace(/:\d+$/, '')))).toEqual([]);
  // A file that needs no exception any more gets none.
  const needed = new Set([...unseen, ...lost].map((where) => where.replace(/:\d+$/, '')));
  expect([...ELSEWHERE.keys()].filter((file) => !needed.has(file))).toEqual([]);
  expect(statements.length).toBeGreaterThan(450);
});

describe.each(SUPPORTED_MAJORS)('PostgreSQL %i', (major) => {
  let server: PostgresServer;
  let client: pg.Client;
  beforeAll(async () => {
    server = await startPostgresOf(major);
    // From nothing, as a first start does.
    await migrate(server.url);
    await migrateQueue(server.url);
    client = new pg.Client({ connectionString: server.url, options: '-c search_path=public,bullmq' });
    await client.connect();
  });
  afterAll(async () => {
    await client.end();
    await server.stop();
  });

  test('prepares every statement', async () => {
    const { rows } = await client.query<{ major: number }>(
      `SELECT current_setting('server_version_num')::int / 10000 AS major`,
    );
    expect(rows).toEqual([{ major }]);
    const refused: string[] = [];
    for (const { where, text } of statements) {
      const reason = await reasonAgainst(client, text);
      if (reason !== undefined) refused.push(`${where}: ${reason}`);
    }
    expect(refused).toEqual([]);
  });

  test('refuses one that it does not know, by which the test is known to bite', async () => {
    expect(await reasonAgainst(client, 'SELECT no_such_column FROM run')).toBe(
      'column "no_such_column" does not exist',
    );
    const unnamed = await reasonAgainst(client, 'SELECT count(*) FROM (SELECT id FROM run)');
    expect(unnamed).toBe(major < 16 ? 'subquery in FROM must have an alias' : undefined);
  });
});

function filesOf(...folders: string[]): string[] {
  return folders
    .flatMap((folder) =>
      readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((name) =>
        path.posix.join(folder, name),
      ),
    )
    .filter((file) => file.endsWith('.ts') && !file.includes('/generated/'))
    .sort();
}

async function sourceOf(file: string): Promise<Source> {
  const code = readFileSync(path.join(ROOT, file), 'utf8');
  if (!/\.query\b|\$(?:query|execute)Raw/.test(code)) return { file, code, sites: [] };
  // The plugin of the tests adds these to the module; nothing of it is run but its constants.
  const { __sites: sites } = (await import(`${path.join(ROOT, file)}?statements`)) as { __sites: SiteTexts[] };
  return { file, code, sites };
}

/** The line of the stack that is in this file, within the call. */
function wasRecorded(file: string, { line, endLine }: SiteTexts): boolean {
  return recorded.some(({ stack }) => {
    const at = Number(new RegExp(`${file.replaceAll('.', '\\.')}:(\\d+):`).exec(stack)?.[1]);
    return line <= at && at <= endLine;
  });
}

function placeIn(stack: string): string {
  return /(?:src|workers)\/[\w./-]+\.ts:\d+/.exec(stack)?.[0] ?? stack;
}

/** Undefined: it is taken. */
async function reasonAgainst(client: pg.Client, text: string): Promise<string | undefined> {
  try {
    for (const statement of text.split(/;\n(?=SELECT|WITH)/)) {
      if (PREPARABLE.test(statement)) await client.query(`PREPARE tried AS ${statement}; DEALLOCATE tried`);
      else if (ALONE.test(statement)) continue;
      // The others are tried, and undone.
      else if (TRANSACTIONS.test(statement)) await client.query(`${statement}; ROLLBACK`);
      else await client.query(`BEGIN; ${statement}; ROLLBACK`);
    }
    return undefined;
  } catch (error) {
    await client.query('ROLLBACK');
    return (error as Error).message;
  }
}
