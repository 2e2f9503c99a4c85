/** The secrets of tenants: envelopes, and what is known of them. */
import type pg from 'pg';
import type { SecretStore, SecretView } from '../engine/secret-ports.ts';

export const SECRET_CHANNEL = 'secret_changed';
const COLUMNS = 'name, hosts, description, version, created_by, updated_by, created_at, updated_at';

const STANDING = `
SELECT coalesce((SELECT version FROM secret WHERE tenant_id = $1 AND name = $2), 0) AS version,
  (SELECT count(*)::int FROM secret WHERE tenant_id = $1) AS total`;

// The envelope belongs to this very version, so nothing is written over another one.
const WRITE = `
INSERT INTO secret AS s (tenant_id, name, version, envelope, hosts, description, created_by, updated_by)
SELECT $1, $2, $3, $4, $6::jsonb, $8, $9, $9
WHERE $3 = 1 OR EXISTS (SELECT FROM secret WHERE tenant_id = $1 AND name = $2)
ON CONFLICT (tenant_id, name) DO UPDATE SET version = EXCLUDED.version, envelope = EXCLUDED.envelope,
  hosts = CASE WHEN $5::boolean THEN EXCLUDED.hosts ELSE s.hosts END,
  description = CASE WHEN $7::boolean THEN EXCLUDED.description ELSE s.description END,
  updated_by = EXCLUDED.updated_by, updated_at = now()
  WHERE s.version = EXCLUDED.version - 1
RETURNING ${COLUMNS}, pg_notify('${SECRET_CHANNEL}', '')`;

const SEALED = `
SELECT name, version, hosts, envelope FROM secret WHERE tenant_id = $1 AND name = ANY ($2::text[])`;

const REMOVE = `
DELETE FROM secret WHERE tenant_id = $1 AND name = $2 RETURNING pg_notify('${SECRET_CHANNEL}', '')`;

interface RawSecret {
  name: string;
  hosts: string[] | null;
  description: string | null;
  version: number;
  created_by: string;
  updated_by: string;
  created_at: Date;
  updated_at: Date;
}

export function createSecretStore(pool: pg.Pool): SecretStore {
  return {
    async standing(tenantId, name) {
      const { rows } = await pool.query<{ version: number; total: number }>(STANDING, [tenantId, name]);
      return rows[0] ?? { version: 0, total: 0 };
    },
    async write({ tenantId, name, version, envelope, hosts, description, by }) {
      const { rows } = await pool.query<RawSecret>(WRITE, [
        tenantId,
        name,
        version,
        envelope,
        hosts !== undefined,
        hosts === undefined || hosts === null ? null : JSON.stringify(hosts),
        description !== undefined,
        description ?? null,
        by,
      ]);
      return rows[0] === undefined ? undefined : toView(rows[0]);
    },
    async list(tenantId, page, pageSize) {
      const [found, counted] = await Promise.all([
        pool.query<RawSecret>(`SELECT ${COLUMNS} FROM secret WHERE tenant_id = $1 ORDER BY name LIMIT $2 OFFSET $3`, [
          tenantId,
          pageSize,
          (page - 1) * pageSize,
        ]),
        pool.query<{ total: number }>('SELECT count(*)::int AS total FROM secret WHERE tenant_id = $1', [tenantId]),
      ]);
      return { items: found.rows.map(toView), total: counted.rows[0]?.total ?? 0 };
    },
    async find(tenantId, name) {
      const text = `SELECT ${COLUMNS} FROM secret WHERE tenant_id = $1 AND name = $2`;
      const { rows } = await pool.query<RawSecret>(text, [tenantId, name]);
      return rows[0] === undefined ? undefined : toView(rows[0]);
    },
    async remove(tenantId, name) {
      return (await pool.query(REMOVE, [tenantId, name])).rows.length === 1;
    },
    async sealed(tenantId, names) {
      const { rows } = await pool.query<{ name: string; version: number; hosts: string[] | null; envelope: string }>({
        name: 'sealed-secrets',
        text: SEALED,
        values: [tenantId, names],
      });
      return rows.map(({ hosts, ...row }) => ({ ...row, hosts: hosts ?? undefined }));
    },
  };
}

function toView(raw: RawSecret): SecretView {
  return {
    name: raw.name,
    hosts: raw.hosts ?? undefined,
    description: raw.description,
    version: raw.version,
    createdBy: raw.created_by,
    updatedBy: raw.updated_by,
    createdAt: raw.created_at,
    updatedAt: raw.updated_at,
  };
}
