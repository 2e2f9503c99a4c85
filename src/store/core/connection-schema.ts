/** The schema in which statements that name none find their tables: the first that is there on the search path. */
import type pg from 'pg';

/** As Prisma's adapter takes it. */
export interface SchemaName {
  schema?: string;
}

export async function schemaOf(pool: Pick<pg.Pool, 'query'>): Promise<SchemaName> {
  const { rows } = await pool.query<{ schema: string | null }>('SELECT current_schema() AS schema');
  const schema = rows[0]?.schema ?? undefined;
  return schema === undefined ? {} : { schema };
}
