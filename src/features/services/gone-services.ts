/**
 * Removes, after a while, what is left of deleted services: their tombstones, which peers may still have to get; their
 * documents, in case they come again; what peers have taken that no configuration names any more; circuits of nothing.
 */
import type pg from 'pg';
import type { ExpiryStore } from '../../engine/recover/remove-expired.ts';

const RETENTION = `interval '30 days'`;

/** A name as the configuration spells it: `serviceKey`. */
const CONFIGURED = (name: string) => `replace(lower(${name}), '-', '_') = ANY ($2)`;

// Also one that this process does not name may have to get it: from another, until nobody has tried for a day.
const TOMBSTONES = `
DELETE FROM service_tombstone WHERE ctid = ANY (ARRAY(
  SELECT t.ctid FROM service_tombstone t
  WHERE t.deleted_at < now() - ${RETENTION} AND (t.origin IS NOT NULL OR NOT EXISTS (
    SELECT FROM (SELECT url FROM peer UNION SELECT unnest($2::text[])) p
    LEFT JOIN peer_sent s ON s.peer = p.url AND s.tenant_id = t.tenant_id AND s.name = t.name
    WHERE s.version IS NULL OR s.version < t.version))
  ORDER BY t.deleted_at LIMIT $1 FOR UPDATE OF t SKIP LOCKED))`;

// Every worker with a peer in its configuration moves the time of its next request, whether the peer answers or not.
const PEERS = `
DELETE FROM peer WHERE url = ANY (ARRAY(
  SELECT url FROM peer WHERE url <> ALL ($2::text[]) AND next_at < now() - interval '1 day'
  ORDER BY url LIMIT $1 FOR UPDATE SKIP LOCKED))`;

const TAKEN = `
DELETE FROM peer_sent WHERE ctid = ANY (ARRAY(
  SELECT s.ctid FROM peer_sent s
  WHERE s.peer <> ALL ($2::text[]) AND NOT EXISTS (SELECT FROM peer p WHERE p.url = s.peer) LIMIT $1 FOR UPDATE SKIP LOCKED))`;

// With the documents their drifts, of which each has at most a hundred.
const DOCUMENTS = `
WITH gone AS (
  DELETE FROM service_document WHERE ctid = ANY (ARRAY(
    SELECT d.ctid FROM service_document d
    WHERE d.fetched_at < now() - ${RETENTION} AND NOT ${CONFIGURED('d.service')}
      AND NOT EXISTS (SELECT FROM service s WHERE s.tenant_id = d.tenant_id AND s.name = d.service)
    LIMIT greatest($1::int / 100, 1) FOR UPDATE SKIP LOCKED))
  RETURNING tenant_id, service
), drifts AS (
  DELETE FROM service_drift f USING gone WHERE f.tenant_id = gone.tenant_id AND f.service = gone.service
)
SELECT FROM gone`;

const CIRCUITS = `
DELETE FROM service_circuit WHERE ctid = ANY (ARRAY(
  SELECT c.ctid FROM service_circuit c
  WHERE c.since < now() - interval '1 hour' AND (
    NOT EXISTS (SELECT FROM worker w WHERE w.id = c.worker AND w.seen_at > now() - interval '1 minute')
    OR NOT ${CONFIGURED('c.name')} AND NOT EXISTS (SELECT FROM service s WHERE s.tenant_id = c.tenant_id AND s.name = c.name))
  LIMIT $1 FOR UPDATE SKIP LOCKED))`;

export function createGoneServices(
  pool: pg.Pool,
  /** The addresses of the peers, and the keys of the configured services, which are never gone. */
  { peers, configured }: { peers: readonly string[]; configured: readonly string[] },
): ExpiryStore {
  const statements = [
    { name: 'gone-tombstones', text: TOMBSTONES, kept: peers, share: 1 },
    { name: 'gone-peers', text: PEERS, kept: peers, share: 1 },
    { name: 'gone-taken', text: TAKEN, kept: peers, share: 1 },
    { name: 'gone-documents', text: DOCUMENTS, kept: configured, share: 100 },
    { name: 'gone-circuits', text: CIRCUITS, kept: configured, share: 1 },
  ] as const;
  return {
    async removeExpired(limit) {
      let most = 0;
      for (const { name, text, kept, share } of statements) {
        const { rowCount } = await pool.query({ name, text, values: [limit, kept] });
        most = Math.max(most, (rowCount ?? 0) * share);
      }
      return most;
    },
  };
}
