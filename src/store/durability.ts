/** What a server of PostgreSQL has to be set to, so that what was committed is still there after it has lost its power. */
import type pg from 'pg';

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

/** One sentence for each setting that may lose what was promised. */
export async function durabilityOf(pool: Pick<pg.Pool, 'query'>): Promise<string[]> {
  const { rows } = await pool.query<{ name: string; setting: string }>(
    'SELECT name, setting FROM pg_settings WHERE name = ANY ($1::text[])',
    [NEEDED.map(({ name }) => name)],
  );
  const found = new Map(rows.map(({ name, setting }) => [name, setting]));
  return NEEDED.flatMap(({ name, fits, problem }) => {
    const value = found.get(name);
    return value === undefined || fits(value) ? [] : [`${name} of PostgreSQL is ${value}: ${problem}`];
  });
}
