/** All that a stack has kept anywhere, as text, for tests of what must be in none of it. */
import type { Stack } from './stack.ts';

/** By where it is. */
export type Everything = Map<string, string>;

export async function dumpStores({ db, redis }: Pick<Stack, 'db' | 'redis'>): Promise<Everything> {
  const found: Everything = new Map();
  const { rows: tables } = await db.query<{ name: string }>(
    `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
     WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1`,
  );
  for (const { name } of tables) {
    const { rows } = await db.query<{ row: string }>(`SELECT t::text AS row FROM ${name} AS t`);
    found.set(name, rows.map(({ row }) => unquoted(row)).join('\n'));
  }
  if (redis === undefined) return found;
  for (const key of await redis.keys('*')) found.set(`redis ${key}`, `${key}\n${await contentOf(redis, key)}`);
  return found;
}

/** The text of a row doubles quotes and backslashes. */
function unquoted(row: string): string {
  return row.replaceAll('""', '"').replaceAll('\\\\', '\\');
}

async function contentOf(redis: NonNullable<Stack['redis']>, key: string): Promise<string> {
  const type = await redis.type(key);
  switch (type) {
    case 'string':
      return (await redis.get(key)) ?? '';
    case 'hash':
      return Object.entries(await redis.hgetall(key))
        .flat()
        .join('\n');
    case 'list':
      return (await redis.lrange(key, 0, -1)).join('\n');
    case 'set':
      return (await redis.smembers(key)).join('\n');
    case 'zset':
      return (await redis.zrange(key, 0, -1)).join('\n');
    case 'stream':
      return (await redis.xrange(key, '-', '+')).flat(2).join('\n');
    case 'none':
      return '';
    default:
      throw new Error(`a key of the type ${type}, which nobody reads yet`);
  }
}

/** Where one of these texts is, each place once. */
export function placesOf(everything: Everything, texts: readonly string[]): string[] {
  return [...everything].flatMap(([place, content]) =>
    texts.filter((text) => content.includes(text)).map((text) => `${place}: ${text}`),
  );
}
