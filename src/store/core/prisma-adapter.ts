/**
 * Prisma names a schema in each of its statements, `public` if nobody says another. Ours name none, and both are to find the
 * same tables. The schema is read with the first connection.
 */
import { PrismaPg } from '@prisma/adapter-pg';
import type { SqlDriverAdapter, SqlDriverAdapterFactory } from '@prisma/driver-adapter-utils';
import type pg from 'pg';
import { schemaOf } from './connection-schema.ts';

export function prismaAdapter(pool: pg.Pool): SqlDriverAdapterFactory {
  const { provider, adapterName } = new PrismaPg(pool);
  return {
    provider,
    adapterName,
    async connect(): Promise<SqlDriverAdapter> {
      return new PrismaPg(pool, await schemaOf(pool)).connect();
    },
  };
}
