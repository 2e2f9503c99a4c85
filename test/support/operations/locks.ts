import pg from 'pg';

/** Resolves once the table is locked, to what ends the session that holds it. */
export async function lockTable(databaseUrl: string, table: string): Promise<() => Promise<void>> {
  const holder = new pg.Client({ connectionString: databaseUrl, application_name: 'backup' });
  await holder.connect();
  await holder.query('BEGIN');
  await holder.query(`LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
  return () => holder.end();
}
