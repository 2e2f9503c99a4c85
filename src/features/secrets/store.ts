/** The secrets of tenants: envelopes, and what is known of them. */
import type { SecretStore, SecretView } from '../../engine/ports/secrets.ts';
import { columnsOf } from '../../store/core/columns.ts';
import type { Clients } from '../../store/core/database.ts';
import type { Prisma } from '../../store/generated/client.ts';

export const SECRET_CHANNEL = 'secret_changed';
/** All but the envelope. */
const VIEW = {
  name: true,
  hosts: true,
  description: true,
  version: true,
  createdBy: true,
  updatedBy: true,
  createdAt: true,
  updatedAt: true,
} as const;

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
RETURNING ${columnsOf(VIEW)}, pg_notify('${SECRET_CHANNEL}', '')`;

const SEALED = `
SELECT name, version, hosts, envelope FROM secret WHERE tenant_id = $1 AND name = ANY ($2::text[])`;

const REMOVE = `
DELETE FROM secret WHERE tenant_id = $1 AND name = $2 RETURNING pg_notify('${SECRET_CHANNEL}', '')`;

type SecretRow = Prisma.SecretGetPayload<{ select: typeof VIEW }>;

export function createSecretStore({ pool, prisma }: Clients): SecretStore {
  return {
    async standing(tenantId, name) {
      const { rows } = await pool.query<{ version: number; total: number }>(STANDING, [tenantId, name]);
      return rows[0] ?? { version: 0, total: 0 };
    },
    async write({ tenantId, name, version, envelope, hosts, description, by }) {
      const { rows } = await pool.query<SecretRow>(WRITE, [
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
      const where = { tenantId };
      const [rows, total] = await Promise.all([
        prisma.secret.findMany({
          where,
          select: VIEW,
          orderBy: { name: 'asc' },
          take: pageSize,
          skip: (page - 1) * pageSize,
        }),
        prisma.secret.count({ where }),
      ]);
      return { items: rows.map(toView), total };
    },
    async find(tenantId, name) {
      const row = await prisma.secret.findFirst({ where: { tenantId, name }, select: VIEW });
      return row === null ? undefined : toView(row);
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

function toView(row: SecretRow): SecretView {
  // Written as a list, or as nothing.
  return { ...row, hosts: (row.hosts as string[] | null) ?? undefined };
}
