/**
 * Moves sealed payloads to the newest key. Only the few bytes of their data keys are written again. Each value is written only
 * as it was read, and what has been moved is passed over, so it may be stopped and started again, beside workers that write.
 */
import pg from 'pg';
import { errorMessage } from '../../domain/texts/error-message.ts';
import { ENVELOPE_PREFIX, type Keyring } from '../../engine/keyring.ts';
import { PAYLOAD_COLUMNS, type PayloadColumns } from './payload-columns.ts';
import { PAYLOAD_CONTEXT, SEALED_KEY, STORED_PREFIX, WRITTEN_PREFIX } from './payloads.ts';
import type { Rotated } from './rotate-secrets.ts';

/** A row may have an output of a megabyte. */
const ROWS_AT_ONCE = 50;

export async function rotatePayloads(pool: pg.Pool, keyring: Keyring): Promise<Rotated> {
  const rotated: Rotated = { moved: {}, failed: [] };
  for (const [table, of] of Object.entries(PAYLOAD_COLUMNS)) {
    for (const column of of.json) await rotateColumn(pool, keyring, { table, column, of, isText: false }, rotated);
    for (const column of of.text ?? []) await rotateColumn(pool, keyring, { table, column, of, isText: true }, rotated);
  }
  return rotated;
}

interface Column {
  table: string;
  column: string;
  of: PayloadColumns;
  isText: boolean;
}

async function rotateColumn(pool: pg.Pool, keyring: Keyring, where: Column, rotated: Rotated): Promise<void> {
  const { table, column, isText, of } = where;
  const keys = of.key.map((name) => `t.${name}`).join(', ');
  const value = isText
    ? `CASE WHEN starts_with(t.${column}, '${WRITTEN_PREFIX}') THEN t.${column}::jsonb END`
    : `t.${column}`;
  const old = pg.escapeLiteral(`${ENVELOPE_PREFIX}${keyring.newest}:%`);
  // A list under the key is somebody's own. Each walk goes on where it stands by the types of the keys.
  const read = (after: string) => `
SELECT ${of.key.map((name, index) => `t.${name}::text AS k${index}`).join(', ')}, ${value} ->> '${SEALED_KEY}' AS envelope
FROM ${table} t
WHERE jsonb_typeof(${value} -> '${SEALED_KEY}') = 'string' AND ${value} ->> '${SEALED_KEY}' LIKE '${ENVELOPE_PREFIX}%'
  AND ${value} ->> '${SEALED_KEY}' NOT LIKE ${old}${after} ORDER BY ${keys} LIMIT ${ROWS_AT_ONCE}`;
  const moved = `jsonb_set(${value}, '{${SEALED_KEY}}', to_jsonb($1::text))`;
  const types = await typesOf(pool, table, of.key);
  const cast = (offset: number) => of.key.map((_, index) => `$${index + offset}::${types[index]}`);
  const rowIs = of.key.map((name, index) => `t.${name} = ${cast(3)[index]}`).join(' AND ');
  const write = `
UPDATE ${table} t SET ${column} = ${isText ? `replace((${moved})::text, '${STORED_PREFIX}', '${WRITTEN_PREFIX}')` : moved}
WHERE ${rowIs} AND ${value} ->> '${SEALED_KEY}' = $2`;
  const behind = ` AND (${keys}) > (${cast(1).join(', ')})`;
  let last: string[] | undefined;
  for (;;) {
    const { rows } = await pool.query<Record<string, string>>(read(last === undefined ? '' : behind), last ?? []);
    for (const row of rows) {
      const envelope = row['envelope'] ?? '';
      last = of.key.map((_, index) => row[`k${index}`] ?? '');
      try {
        const { rowCount } = await pool.query(write, [keyring.rewrap(envelope, PAYLOAD_CONTEXT), envelope, ...last]);
        rotated.moved[table] = (rotated.moved[table] ?? 0) + (rowCount ?? 0);
      } catch (error) {
        rotated.failed.push(`${table} ${last.join(' ')}: ${errorMessage(error)}`);
      }
    }
    if (rows.length < ROWS_AT_ONCE) return;
  }
}

async function typesOf(pool: pg.Pool, table: string, names: readonly string[]): Promise<string[]> {
  const { rows } = await pool.query<{ type: string }>(
    `SELECT format_type(a.atttypid, a.atttypmod) AS type FROM unnest($2::text[]) WITH ORDINALITY AS k(name, n)
     JOIN pg_attribute a ON a.attrelid = $1::regclass AND a.attname = k.name ORDER BY k.n`,
    [table, names],
  );
  return rows.map(({ type }) => type);
}
