/** Peers, and what each is owed: every service and deletion made here whose version it has not taken yet. */
import type pg from 'pg';
import type { JsonObject } from '../../schemas/json.ts';
import { columnsOf } from '../../store/core/columns.ts';
import { createInstallation } from '../../store/core/installation.ts';
import type { PeerState, PeerStore, PendingChange } from './ports.ts';

/** Rows made here, deleted ones among them. */
const OWN = `
SELECT tenant_id, name, version, false AS deleted FROM service WHERE origin IS NULL
UNION ALL SELECT tenant_id, name, version, true FROM service_tombstone WHERE origin IS NULL`;

const owedBy = (peer: string) => `
SELECT o.* FROM (${OWN}) o
LEFT JOIN peer_sent s ON s.peer = ${peer} AND s.tenant_id = o.tenant_id AND s.name = o.name
WHERE s.version IS NULL OR s.version < o.version`;

// One that does not answer is asked again when its time has come; any other also as soon as it is owed something.
const TAKE = `
UPDATE peer p SET leased_until = now() + make_interval(secs => $2::float8 / 1000)
WHERE p.url IN (
  SELECT d.url FROM peer d
  WHERE d.url = ANY ($1) AND (d.leased_until IS NULL OR d.leased_until <= now())
    AND (d.next_at <= now() OR (d.failures = 0 AND EXISTS (${owedBy('d.url')})))
  FOR UPDATE SKIP LOCKED)
RETURNING p.url, p.failures, p.asked::float8 AS asked`;

// Without the times of its instances: heartbeats are heard where they are sent.
const OWED = `
SELECT o.tenant_id, o.name, o.version::float8 AS version, o.deleted, s.service::text AS service
FROM (${owedBy('$1')}) o
LEFT JOIN LATERAL (
  SELECT jsonb_build_object('base_url', s.base_url, 'openapi_url', s.openapi_url, 'endpoints', coalesce(s.endpoints, '[]'),
    'metadata', coalesce(s.metadata, '{}'), 'settings', coalesce(s.settings, '{}'), 'instances', (
      SELECT coalesce(jsonb_agg(jsonb_build_object('instance_id', i.instance_id, 'base_url', i.base_url, 'weight', i.weight)
        ORDER BY i.instance_id), '[]')
      FROM service_instance i WHERE i.tenant_id = s.tenant_id AND i.name = s.name AND coalesce(i.expires_at > now(), true)
    )) AS service
  FROM service s WHERE NOT o.deleted AND s.tenant_id = o.tenant_id AND s.name = o.name AND s.version = o.version
) s ON true
WHERE $2::text IS NULL OR (o.tenant_id, o.name) > ($2, $3)
ORDER BY o.tenant_id, o.name LIMIT $4`;

const ACKNOWLEDGE = `
INSERT INTO peer_sent AS s (peer, tenant_id, name, version)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[])
ON CONFLICT (peer, tenant_id, name) DO UPDATE SET version = greatest(s.version, EXCLUDED.version)`;

// Who asked for everything while it was talked to is not done yet.
const SUCCEEDED = `
UPDATE peer SET id = $2, last_seen_at = now(), last_error = $3, failures = 0, latency_ms = $4, leased_until = NULL,
  done = greatest(done, $5::bigint),
  next_at = CASE WHEN asked > $5::bigint THEN now() ELSE now() + make_interval(secs => $6::float8 / 1000) END
WHERE url = $1`;

const FAILED = `
UPDATE peer SET last_error = $2, failures = failures + 1, leased_until = NULL, done = greatest(done, $3::bigint),
  next_at = CASE WHEN asked > $3::bigint THEN now() ELSE now() + make_interval(secs => $4::float8 / 1000) END
WHERE url = $1`;

const STATES = `
SELECT u.url, ${columnsOf({ id: true, lastSeenAt: true, lastError: true, latencyMs: true }, { table: 'p' })},
  coalesce(p.failures, 0) AS failures, coalesce(p.next_at, now()) AS "nextAt", (SELECT count(*)::int FROM (${owedBy('u.url')}) o WHERE o.tenant_id = $2) AS pending
FROM unnest($1::text[]) WITH ORDINALITY AS u(url, n) LEFT JOIN peer p ON p.url = u.url ORDER BY u.n`;

const PROGRESS = `
SELECT (SELECT count(*)::int FROM unnest($1::text[]) AS u(url) LEFT JOIN peer p ON p.url = u.url WHERE p.done IS NULL OR p.done < p.asked) AS open,
  (SELECT count(*)::int FROM (${OWN}) o JOIN peer_sent s ON s.tenant_id = o.tenant_id AND s.name = o.name AND s.version >= o.version
   WHERE s.peer = ANY ($1) AND o.tenant_id = $2) AS sent,
  (SELECT count(*)::int FROM unnest($1::text[]) AS u(url), LATERAL (${owedBy('u.url')}) o WHERE o.tenant_id = $2) AS pending`;

const FORGET = `
DELETE FROM peer_sent WHERE ctid = ANY (ARRAY(
  SELECT s.ctid FROM peer_sent s
  WHERE NOT EXISTS (SELECT FROM service x WHERE x.tenant_id = s.tenant_id AND x.name = s.name)
    AND NOT EXISTS (SELECT FROM service_tombstone x WHERE x.tenant_id = s.tenant_id AND x.name = s.name) LIMIT $1))`;

export function createPeerStore(pool: pg.Pool): PeerStore {
  return {
    installation: createInstallation(pool),
    async ensure(urls) {
      await pool.query({
        name: 'peers-ensure',
        text: 'INSERT INTO peer (url) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING',
        values: [urls],
      });
    },
    async takeDue(urls, leaseMs) {
      const { rows } = await pool.query<{ url: string; failures: number; asked: number }>({
        name: 'peers-take',
        text: TAKE,
        values: [urls, leaseMs],
      });
      return rows;
    },
    async pending(url, after, limit) {
      const { rows } = await pool.query<RawOwed>({
        name: 'peers-owed',
        text: OWED,
        values: [url, after?.tenantId ?? null, after?.name ?? null, limit],
      });
      return rows.flatMap(toOwed);
    },
    async acknowledge(url, taken) {
      await pool.query({
        name: 'peers-acknowledge',
        text: ACKNOWLEDGE,
        values: [
          url,
          taken.map(({ tenantId }) => tenantId),
          taken.map(({ name }) => name),
          taken.map(({ version }) => version),
        ],
      });
    },
    async succeeded({ url, asked }, { id, latencyMs, error, nextMs }) {
      const values = [url, id, error, latencyMs, asked, nextMs];
      await pool.query({ name: 'peers-succeeded', text: SUCCEEDED, values });
    },
    async failed({ url, asked }, { error, againMs }) {
      await pool.query({ name: 'peers-failed', text: FAILED, values: [url, error, asked, againMs] });
    },
    async release({ url }) {
      await pool.query('UPDATE peer SET leased_until = NULL WHERE url = $1', [url]);
    },
    async states(urls, tenantId) {
      return (await pool.query<PeerState>({ name: 'peers-states', text: STATES, values: [urls, tenantId] })).rows;
    },
    async requestAll(urls, tenantId) {
      await pool.query('DELETE FROM peer_sent WHERE peer = ANY ($1) AND tenant_id = $2', [urls, tenantId]);
      await pool.query({
        name: 'peers-ask',
        text: `INSERT INTO peer AS p (url, asked) SELECT unnest($1::text[]), 1
               ON CONFLICT (url) DO UPDATE SET asked = p.asked + 1, next_at = now()`,
        values: [urls],
      });
    },
    async progress(urls, tenantId) {
      const { rows } = await pool.query<{ open: number; sent: number; pending: number }>({
        name: 'peers-progress',
        text: PROGRESS,
        values: [urls, tenantId],
      });
      return rows[0] ?? { open: 0, sent: 0, pending: 0 };
    },
    async forget(limit) {
      return (await pool.query({ name: 'peers-forget', text: FORGET, values: [limit] })).rowCount ?? 0;
    },
  };
}

interface RawOwed {
  tenant_id: string;
  name: string;
  version: number;
  deleted: boolean;
  service: string | null;
}

/** One that has just been changed again is owed with its next version. */
function toOwed({ tenant_id: tenantId, name, version, deleted, service }: RawOwed): PendingChange[] {
  if (!deleted && service === null) return [];
  const told = service === null ? null : (JSON.parse(service) as JsonObject); // PostgreSQL has built an object.
  return [{ tenantId, name, version, service: told, bytes: Buffer.byteLength(service ?? '') }];
}
