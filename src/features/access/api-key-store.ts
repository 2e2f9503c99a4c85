/** API keys: what their tenant sees of them, and whose one is. */
import type pg from 'pg';
import { ROLES, type Role } from '../../domain/access.ts';
import { createBatcher } from '../../store/core/batch.ts';
import { columnsOf } from '../../store/core/columns.ts';
import { Prisma } from '../../store/generated/client.ts';
import type { ApiKey, ApiKeyDirectory, ApiKeyStore, FoundKey } from './api-key-ports.ts';

/** What nobody is shown. */
const HASHES = { hash: true, previousHash: true, limited: true } as const;
const COLUMNS = `${columnsOf(Prisma.ApiKeyScalarFieldEnum, { omit: { ...HASHES, scopes: true, previousUntil: true } })},
  CASE WHEN limited THEN scopes END AS scopes, CASE WHEN previous_until > now() THEN previous_until END AS "previousUntil"`;

// Those that were revoked a month ago make room.
const FORGET = `
DELETE FROM api_key WHERE tenant_id = $1 AND coalesce(revoked_at, expires_at) < now() - interval '30 days'`;

const INSERT = `
INSERT INTO api_key (id, tenant_id, name, prefix, hash, roles, scopes, limited, expires_at, created_by)
SELECT $1, $2, $3, $4, $5, $6, coalesce($7::text[], '{}'), $7::text[] IS NOT NULL, now() + make_interval(secs => $8::float8), $9
WHERE (SELECT count(*) FROM api_key WHERE tenant_id = $2) < $10
RETURNING ${COLUMNS}`;

const HOLDS = `revoked_at IS NULL AND coalesce(expires_at > now(), true)`;

// A second rotation within the grace time ends the key before the one that is replaced.
const ROTATE = `
UPDATE api_key SET hash = $3, prefix = $4, rotated_at = now(),
  previous_hash = CASE WHEN $5::float8 > 0 THEN hash END,
  previous_until = CASE WHEN $5::float8 > 0 THEN now() + make_interval(secs => $5::float8) END
WHERE tenant_id = $1 AND id = $2 AND ${HOLDS} RETURNING ${COLUMNS}`;

const REVOKE = `
UPDATE api_key SET revoked_at = coalesce(revoked_at, now()), previous_hash = NULL, previous_until = NULL
WHERE tenant_id = $1 AND id = $2 RETURNING id`;

// Whoever guesses costs a place in a statement that there is anyway, not a statement.
const LOOK_UP = `
SELECT w.hash AS wanted, k.id, k.tenant_id AS "tenantId", k.roles, k.scopes, k.fitting, k.remaining_ms
FROM unnest($1::bytea[]) AS w(hash)
CROSS JOIN LATERAL (
  SELECT id, tenant_id, roles, CASE WHEN limited THEN scopes END AS scopes, CASE WHEN hash = w.hash THEN hash ELSE previous_hash END AS fitting,
    extract(epoch FROM least(expires_at, CASE WHEN hash = w.hash THEN NULL ELSE previous_until END) - now())::float8 * 1000 AS remaining_ms
  FROM api_key WHERE (hash = w.hash OR (previous_hash = w.hash AND previous_until > now())) AND ${HOLDS}
) AS k`;
const LOOKED_UP_AT_ONCE = 500;

// One that is used all the time is written once a minute.
const USED = `
UPDATE api_key SET last_used_at = now()
WHERE id = ANY($1::text[]) AND coalesce(last_used_at < now() - interval '1 minute', true)`;

/** Null: nothing limits it. */
type Row = Omit<Prisma.ApiKeyGetPayload<{ omit: typeof HASHES }>, 'scopes'> & { scopes: string[] | null };

export function createApiKeyStore(pool: pg.Pool): ApiKeyStore {
  const first = async (sql: string, values: unknown[]) => {
    const { rows } = await pool.query<Row>(sql, values);
    return rows[0] === undefined ? undefined : toKey(rows[0]);
  };
  return {
    async create({ id, tenantId, name, prefix, hash, roles, scopes, expiresInSeconds, createdBy }, limit) {
      await pool.query(FORGET, [tenantId]);
      const what = [roles, scopes ?? null, expiresInSeconds ?? null];
      return first(INSERT, [id, tenantId, name, prefix, hash, ...what, createdBy, limit]);
    },
    async list(tenantId, page, pageSize) {
      const [found, counted] = await Promise.all([
        pool.query<Row>(
          `SELECT ${COLUMNS} FROM api_key WHERE tenant_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2 OFFSET $3`,
          [tenantId, pageSize, (page - 1) * pageSize],
        ),
        pool.query<{ total: number }>('SELECT count(*)::int AS total FROM api_key WHERE tenant_id = $1', [tenantId]),
      ]);
      return { items: found.rows.map(toKey), total: counted.rows[0]?.total ?? 0 };
    },
    find: (tenantId, id) => first(`SELECT ${COLUMNS} FROM api_key WHERE tenant_id = $1 AND id = $2`, [tenantId, id]),
    rotate: (tenantId, id, { hash, prefix, graceSeconds }) => first(ROTATE, [tenantId, id, hash, prefix, graceSeconds]),
    async revoke(tenantId, id) {
      return (await pool.query(REVOKE, [tenantId, id])).rows.length === 1;
    },
  };
}

export function createApiKeyDirectory(pool: pg.Pool): ApiKeyDirectory {
  const lookUp = createBatcher<Buffer, FoundKey | undefined>({
    maxItems: LOOKED_UP_AT_ONCE,
    async flush(wanted) {
      const { rows } = await pool.query<Found>(LOOK_UP, [wanted]);
      const found = new Map(rows.map((row) => [row.wanted.toString('base64'), toKnownKey(row)]));
      return wanted.map((hash) => found.get(hash.toString('base64')));
    },
  });
  return {
    lookUp,
    async used(ids) {
      await pool.query(USED, [ids]);
    },
  };
}

type Found = Pick<Row, 'id' | 'tenantId' | 'roles' | 'scopes'> & {
  wanted: Buffer;
  /** As it is stored. */
  fitting: Buffer;
  remaining_ms: number | null;
};

function toKnownKey({ id, tenantId, roles, scopes, fitting, remaining_ms: remaining }: Found): FoundKey {
  const may = { roles: knownRoles(roles), scopes: scopes ?? undefined };
  return { id, tenantId, ...may, hash: fitting, remainingMs: remaining ?? Number.POSITIVE_INFINITY };
}

function toKey(row: Row): ApiKey {
  return { ...row, roles: knownRoles(row.roles), scopes: row.scopes ?? undefined };
}

/** A role of a later version gives nothing here. */
function knownRoles(roles: readonly string[]): Role[] {
  return ROLES.filter((role) => roles.includes(role));
}
