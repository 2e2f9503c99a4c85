/**
 * Moves everything that is encrypted to the newest key, and encrypts what is still plain. Each row is written for itself and
 * only as it was read, so it may be stopped and started again at any time, while others write and workers run.
 */
import type pg from 'pg';
import { errorMessage } from '../../domain/texts/error-message.ts';
import { isEnvelope, type Keyring } from '../../engine/keyring.ts';
import { secretContext } from '../../engine/ports/secrets.ts';
import { webhookContext } from './sealed-texts.ts';

export interface Rotated {
  /** By table. */
  moved: Record<string, number>;
  /** What could not be opened: its key is not listed, or it is damaged. */
  failed: string[];
}

const AT_ONCE = 200;

interface Column {
  table: 'secret' | 'webhook';
  column: 'envelope' | 'secret' | 'previous_secret';
  /** The key of a row, as texts. */
  key: readonly string[];
  also: readonly string[];
  belongsTo(row: Readonly<Record<string, string>>): string[];
}

const of = (row: Readonly<Record<string, string>>, name: string) => row[name] ?? '';
const ofWebhook = {
  table: 'webhook',
  key: ['id'],
  also: ['tenant_id'],
  belongsTo: (row: Readonly<Record<string, string>>) => webhookContext(of(row, 'tenant_id'), of(row, 'id')),
} as const;
const COLUMNS: readonly Column[] = [
  {
    table: 'secret',
    column: 'envelope',
    key: ['tenant_id', 'name'],
    also: ['version::text'],
    belongsTo: (row) => secretContext(of(row, 'tenant_id'), of(row, 'name'), Number(row['version'])),
  },
  { ...ofWebhook, column: 'secret' },
  { ...ofWebhook, column: 'previous_secret' },
];

export async function rotateSecrets(pool: pg.Pool, keyring: Keyring): Promise<Rotated> {
  const rotated: Rotated = { moved: {}, failed: [] };
  for (const column of COLUMNS) await rotateColumn(pool, keyring, column, rotated);
  return rotated;
}

async function rotateColumn(pool: pg.Pool, keyring: Keyring, column: Column, rotated: Rotated): Promise<void> {
  const { table, column: name, key, also } = column;
  const keys = key.join(', ');
  const after = key.map((_, index) => `$${index + 1}`).join(', ');
  const read = `
SELECT ${[...key, ...also].join(', ')}, ${name} AS text FROM ${table}
WHERE (${keys}) > (${after}) AND ${name} NOT LIKE $${key.length + 1} ORDER BY ${keys} LIMIT ${AT_ONCE}`;
  const where = key.map((one, index) => `${one} = $${index + 3}`).join(' AND ');
  const write = `UPDATE ${table} SET ${name} = $1 WHERE ${name} = $2 AND ${where}`;
  let last = key.map(() => '');
  for (;;) {
    const { rows } = await pool.query<Record<string, string>>(read, [...last, `enc:v1:${keyring.newest}:%`]);
    for (const row of rows) {
      const text = of(row, 'text');
      last = key.map((one) => of(row, one));
      try {
        const belongsTo = column.belongsTo(row);
        const sealed = isEnvelope(text) ? keyring.rewrap(text, belongsTo) : keyring.seal(text, belongsTo);
        const { rowCount } = await pool.query(write, [sealed, text, ...last]);
        rotated.moved[table] = (rotated.moved[table] ?? 0) + (rowCount ?? 0);
      } catch (error) {
        rotated.failed.push(`${table} ${last.join(' ')}: ${errorMessage(error)}`);
      }
    }
    if (rows.length < AT_ONCE) return;
  }
}
