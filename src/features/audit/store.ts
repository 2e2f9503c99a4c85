/**
 * The audit in PostgreSQL. A chain grows under the lock of its head, so its numbers have no gaps and its times never go back;
 * triggers refuse every change of what is written.
 */
import type pg from 'pg';
import type {
  AuditChain,
  AuditContent,
  AuditDecision,
  AuditEntry,
  AuditEvent,
  AuditStore,
} from '../../engine/ports/audit.ts';
import type { Json } from '../../schemas/json.ts';
import { inTransaction } from '../../store/core/in-transaction.ts';
import { hashOf, NO_HASH } from './chain.ts';

const LOCK = `
SELECT tenant_id, seq, encode(hash, 'hex') AS hash, greatest(at, clock_timestamp()) AS at
FROM audit_head WHERE tenant_id = ANY ($1) ORDER BY tenant_id FOR UPDATE`;

const BEGIN_CHAINS = `
INSERT INTO audit_head (tenant_id, hash, pruned_hash)
SELECT t, decode($2, 'hex'), decode($2, 'hex') FROM unnest($1::text[]) t ORDER BY t ON CONFLICT DO NOTHING`;

const TEXTS = [
  ...(['tenant_id', 'actor', 'means', 'credential', 'action', 'permission', 'resource_type', 'resource_id'] as const),
  ...(['address', 'user_agent', 'decision', 'reason', 'request_id', 'trace_id'] as const),
];

const INSERT = `
WITH entries AS (
  INSERT INTO audit_entry (${TEXTS.join(', ')}, seq, at, status, details, hash)
  SELECT ${TEXTS.map((_, n) => `e.t${n}`).join(', ')}, e.seq, e.at, e.status, e.details, decode(e.hash, 'hex')
  FROM unnest(${TEXTS.map((_, n) => `$${n + 1}::text[]`).join(', ')},
    $${TEXTS.length + 1}::bigint[], $${TEXTS.length + 2}::timestamptz[], $${TEXTS.length + 3}::int[],
    $${TEXTS.length + 4}::jsonb[], $${TEXTS.length + 5}::text[])
    AS e(${TEXTS.map((_, n) => `t${n}`).join(', ')}, seq, at, status, details, hash)
)
UPDATE audit_head h SET seq = n.seq, hash = decode(n.hash, 'hex'), at = n.at
FROM unnest($${TEXTS.length + 6}::text[], $${TEXTS.length + 7}::bigint[], $${TEXTS.length + 8}::text[],
  $${TEXTS.length + 9}::timestamptz[]) AS n(tenant_id, seq, hash, at)
WHERE h.tenant_id = n.tenant_id`;

const ENTRY = `${TEXTS.join(', ')}, seq, at, status, details, encode(hash, 'hex') AS hash`;

// A chain's times are in the order of its numbers.
const LIST = `
SELECT ${ENTRY} FROM audit_entry WHERE tenant_id = $1
  AND ($2::timestamptz IS NULL OR at >= $2) AND ($3::timestamptz IS NULL OR at < $3)
  AND ($4::text IS NULL OR actor = $4) AND ($5::text IS NULL OR action = $5)
  AND ($6::text IS NULL OR resource_id = $6) AND ($7::text IS NULL OR decision = $7) AND ($8::bigint IS NULL OR seq < $8)
ORDER BY seq DESC LIMIT $9`;

const CHAINS = `
SELECT tenant_id, seq, encode(hash, 'hex') AS hash, pruned_seq, encode(pruned_hash, 'hex') AS pruned_hash
FROM audit_head WHERE $1::text IS NULL OR tenant_id > $1 ORDER BY tenant_id LIMIT $2`;

const ENTRIES = `SELECT ${ENTRY} FROM audit_entry WHERE tenant_id = $1 AND seq > $2 ORDER BY seq LIMIT $3`;

// The head says first how far it forgets: the trigger looks.
const FORGET = `
WITH old AS (
  SELECT h.tenant_id, e.seq, e.hash FROM audit_head h CROSS JOIN LATERAL (
    SELECT seq, hash FROM (SELECT seq, hash, at FROM audit_entry
      WHERE tenant_id = h.tenant_id AND seq > h.pruned_seq ORDER BY seq LIMIT $2) few
    WHERE at < now() - make_interval(days => $1::int) ORDER BY seq DESC LIMIT 1) e
)
UPDATE audit_head h SET pruned_seq = old.seq, pruned_hash = old.hash FROM old WHERE h.tenant_id = old.tenant_id`;
const REMOVE = `DELETE FROM audit_entry e USING audit_head h WHERE h.tenant_id = e.tenant_id AND e.seq <= h.pruned_seq`;

interface Row extends Omit<AuditContent, 'seq' | 'at' | 'details'> {
  seq: string;
  at: Date;
  decision: AuditDecision;
  details: Record<string, Json>;
  hash: string;
}

export function createAuditStore(pool: pg.Pool): AuditStore {
  return {
    append: (events) => inTransaction(pool, (client) => appendAudit(client, events)),
    async list(tenantId, { from, to, actor, action, resource, decision }, { limit, before }) {
      const filter = [from ?? null, to ?? null, actor ?? null, action ?? null, resource ?? null, decision ?? null];
      const { rows } = await pool.query<Row>(LIST, [tenantId, ...filter, before ?? null, limit + 1]);
      return { entries: rows.slice(0, limit).map(entryOf), more: rows.length > limit };
    },
    async chains(after, limit) {
      const { rows } = await pool.query<Record<keyof AuditChain, string>>(CHAINS, [after ?? null, limit]);
      return rows.map((row) => ({ ...row, seq: Number(row.seq), pruned_seq: Number(row.pruned_seq) }));
    },
    async entries(tenantId, after, limit) {
      const { rows } = await pool.query<Row>(ENTRIES, [tenantId, after, limit]);
      return rows.map(entryOf);
    },
    prune: (olderThanDays, limit) =>
      inTransaction(pool, async (client) => {
        await client.query(FORGET, [olderThanDays, limit]);
        return (await client.query(REMOVE)).rowCount ?? 0;
      }),
  };
}

/** Within a transaction of somebody else, who writes more with it. */
export async function appendAudit(client: pg.PoolClient, events: readonly AuditEvent[]) {
  const tenants = [...new Set(events.map(({ tenant_id }) => tenant_id))].sort();
  const lock = async () =>
    (await client.query<{ tenant_id: string; seq: string; hash: string; at: Date }>(LOCK, [tenants])).rows;
  let heads = await lock();
  if (heads.length < tenants.length) {
    await client.query(BEGIN_CHAINS, [tenants, NO_HASH]);
    heads = await lock();
  }
  const ends = new Map(
    heads.map(({ tenant_id, seq, hash, at }) => [tenant_id, { tenant_id, seq: Number(seq), hash, at }]),
  );
  const entries = events.map((event): AuditEntry => {
    const end = ends.get(event.tenant_id);
    if (end === undefined) throw new Error('a chain has no head');
    const content: AuditContent = { ...event, seq: end.seq + 1, at: end.at.toISOString() };
    end.seq += 1;
    end.hash = hashOf(end.hash, content);
    return { ...content, hash: end.hash };
  });
  const grown = [...ends.values()];
  await client.query({
    name: 'append-audit',
    text: INSERT,
    values: [
      ...TEXTS.map((column) => entries.map((entry) => entry[column])),
      entries.map(({ seq }) => seq),
      entries.map(({ at }) => at),
      entries.map(({ status }) => status),
      entries.map(({ details }) => JSON.stringify(details)),
      entries.map(({ hash }) => hash),
      grown.map(({ tenant_id }) => tenant_id),
      grown.map(({ seq }) => seq),
      grown.map(({ hash }) => hash),
      grown.map(({ at }) => at),
    ],
  });
  return grown.map(({ tenant_id, seq, hash }) => ({ tenant_id, seq, hash }));
}

function entryOf({ seq, at, ...row }: Row): AuditEntry {
  return { ...row, seq: Number(seq), at: at.toISOString() };
}
