/** The settings of PostgreSQL that committed data needs to survive a power failure. */
import type pg from 'pg';
import { judgeServerVersion } from './server-version.ts';

const NEEDED: ReadonlyArray<{ name: string; fits(value: string): boolean; problem: string }> = [
  { name: 'fsync', fits: (value) => value === 'on', problem: 'a crash of the machine may destroy the whole database' },
  {
    name: 'full_page_writes',
    fits: (value) => value === 'on',
    problem: 'a crash of the machine may destroy pages that were being written',
  },
  {
    // `local` and what waits for standbys all wait for the own disk first.
    name: 'synchronous_commit',
    fits: (value) => value !== 'off',
    problem: 'what was answered with 202 may be lost in a crash',
  },
];

/** One sentence for a version that nothing was tried on, and for each setting that may lose what was promised. */
export async function durabilityOf(pool: Pick<pg.Pool, 'query'>): Promise<string[]> {
  const { rows } = await pool.query<{ name: string; setting: string }>(
    'SELECT name, setting FROM pg_settings WHERE name = ANY ($1::text[])',
    [[...NEEDED.map(({ name }) => name), 'server_version_num']],
  );
  const found = new Map(rows.map(({ name, setting }) => [name, setting]));
  const verdict = judgeServerVersion(found.get('server_version_num'));
  const warnings = verdict.supported && verdict.warning !== undefined ? [verdict.warning] : [];
  const unsafe = NEEDED.flatMap(({ name, fits, problem }) => {
    const value = found.get(name);
    return value === undefined || fits(value) ? [] : [`${name} of PostgreSQL is ${value}: ${problem}`];
  });
  return [...warnings, ...unsafe];
}
