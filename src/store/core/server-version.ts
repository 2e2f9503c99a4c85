/** Which versions of PostgreSQL hold all of the program's SQL, and what is said about every other one. */
import pg from 'pg';
import { OLD_SERVER } from '../../domain/health/system-faults.ts';

export const OLDEST_MAJOR = 14;
/** The newest that it was tried on. */
export const NEWEST_MAJOR = 18;

export type VersionVerdict =
  | { supported: true; version: string; warning?: string }
  | { supported: false; sentence: string };

/** `server_version_num` as the server reports it: 150004 is 15.4. One that is hidden, by a server that is only alike, is let pass. */
export function judgeServerVersion(serverVersionNum: string | null | undefined): VersionVerdict {
  const number = Number(serverVersionNum ?? Number.NaN);
  if (!Number.isInteger(number) || number <= 0) {
    const warning = `the server does not tell its version: PostgreSQL ${OLDEST_MAJOR} to ${NEWEST_MAJOR} is supported`;
    return { supported: true, version: 'PostgreSQL of an unknown version', warning };
  }
  const major = Math.floor(number / 10_000);
  // Before 10 the major had two numbers.
  const version = `PostgreSQL ${major}.${major >= 10 ? number % 10_000 : Math.floor((number % 10_000) / 100)}`;
  if (major < OLDEST_MAJOR) {
    return {
      supported: false,
      sentence: `${version} is not supported: PostgreSQL ${OLDEST_MAJOR} to ${NEWEST_MAJOR} is needed.`,
    };
  }
  if (major <= NEWEST_MAJOR) return { supported: true, version };
  const warning = `${version} is newer than every version that this program was tested on (${OLDEST_MAJOR} to ${NEWEST_MAJOR})`;
  return { supported: true, version, warning };
}

/** The message is the sentence. */
export class UnsupportedServer extends Error {
  readonly code = OLD_SERVER;
}

/** Through a pooler too: it is the server that answers, and any role may read it. */
export const READ_VERSION = `SELECT current_setting('server_version_num', true) AS version`;

export interface VersionRow {
  version: string | null;
}

/** Throws `UnsupportedServer`. */
export function requireSupported(row: VersionRow | undefined): void {
  const verdict = judgeServerVersion(row?.version);
  if (!verdict.supported) throw new UnsupportedServer(verdict.sentence);
}

const ANSWER_MS = 5_000;

/**
 * Before anything else is opened: rejects when the server is there and not supported. While it is away that is not known, and
 * what starts without it does so; every connection of `openDatabase` checks again.
 */
export async function expectSupportedServer(databaseUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl, connectionTimeoutMillis: ANSWER_MS });
  client.on('error', () => undefined);
  const rows = await client
    .connect()
    .then(async () => (await client.query<VersionRow>(READ_VERSION)).rows)
    .catch(() => undefined);
  await client.end().catch(() => undefined);
  if (rows !== undefined) requireSupported(rows[0]);
}
