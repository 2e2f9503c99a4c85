/** What the statements call a column is what the schema maps its field to. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { columnOf, columnsOf } from '../../../../src/store/core/columns.ts';

test('a column has the name of its field, or is given it', () => {
  expect(columnsOf({ id: true, tenantId: true })).toBe('id, tenant_id AS "tenantId"');
  expect(columnsOf({ id: true, secret: true, lastSeenAt: true }, { omit: { secret: true }, table: 'p' })).toBe(
    'p.id, p.last_seen_at AS "lastSeenAt"',
  );
});

test('every field of the schema is mapped to the column that it is read from', () => {
  const fields = [...readFileSync('prisma/schema.prisma', 'utf8').matchAll(/^ {2}(\w+) +\S+.*@map\("(\w+)"\)/gm)];
  expect(fields.length).toBeGreaterThan(100);
  expect(fields.filter(([, field = '', column]) => columnOf(field) !== column)).toEqual([]);
});
