/** Cached outputs. Concurrent reads share a statement, and so do concurrent writes. */
import type pg from 'pg';
import type { NewCacheEntry, OutputCache } from '../../engine/deliver/cache.ts';
import type { Json } from '../../schemas/json.ts';
import { createBatcher } from '../core/batch.ts';
import { isDataFault, isTransient, untilItPasses } from '../core/transient.ts';
import { SEALED_KEY } from '../payloads/payloads.ts';

const ENTRIES_PER_STATEMENT = 100;
const STORE_TRIES = 3;

const FIND = `
SELECT k.n::int AS n, k.tenant_id, CASE WHEN c.output ? '${SEALED_KEY}' THEN c.output END AS sealed,
       CASE WHEN NOT c.output ? '${SEALED_KEY}' THEN c.output::text END AS output
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k(tenant_id, key, n)
CROSS JOIN LATERAL (
  SELECT output FROM output_cache WHERE tenant_id = k.tenant_id AND key = k.key AND expires_at > now() LIMIT 1
) c`;

// From the row of the task, so that nothing is ever served that was not committed; its time starts with the commit. Of two
// that computed at the same time the first one stays. Sorted, so that all writers lock in one order.
const STORE = `
INSERT INTO output_cache AS c (tenant_id, key, run_id, output, expires_at)
SELECT DISTINCT ON (k.tenant_id, k.key) k.tenant_id, k.key, t.run_id, t.output, t.finished_at + make_interval(secs => k.ttl_seconds)
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::float8[])
     AS k(tenant_id, key, run_id, action_id, commit_id, ttl_seconds)
CROSS JOIN LATERAL (
  SELECT * FROM task WHERE run_id = k.run_id AND action_id = k.action_id AND commit_id = k.commit_id AND status = 'completed' LIMIT 1
) t
WHERE t.finished_at + make_interval(secs => k.ttl_seconds) > now()
ORDER BY k.tenant_id, k.key, t.finished_at
ON CONFLICT (tenant_id, key) DO UPDATE SET run_id = EXCLUDED.run_id, output = EXCLUDED.output, expires_at = EXCLUDED.expires_at
WHERE c.expires_at <= now()`;

export function createOutputCache(pool: pg.Pool): OutputCache {
  const find = createBatcher<{ tenantId: string; key: string }, string | undefined>({
    maxItems: ENTRIES_PER_STATEMENT,
    async flush(keys) {
      const { rows } = await pool.query<{ n: number; sealed: Json; output: string | null }>({
        name: 'find-cached',
        text: FIND,
        values: [keys.map(({ tenantId }) => tenantId), keys.map(({ key }) => key)],
      });
      const found = new Map(rows.map(({ n, sealed, output }) => [n, output ?? JSON.stringify(sealed)]));
      return keys.map((_, index) => found.get(index + 1));
    },
    retryAfter: untilItPasses,
  });
  const store = createBatcher<NewCacheEntry, void>({
    maxItems: ENTRIES_PER_STATEMENT,
    async flush(entries) {
      const column = <T>(pick: (entry: NewCacheEntry) => T): T[] => entries.map(pick);
      await pool.query({
        name: 'keep-cached',
        text: STORE,
        values: [
          column((e) => e.tenantId),
          column((e) => e.key),
          column((e) => e.runId),
          column((e) => e.actionId),
          column((e) => e.commitId),
          column((e) => e.ttlSeconds),
        ],
      });
      return entries.map(() => undefined);
    },
    isDataFault,
    // The task has ended and its dependents wait: after a moment it is rather not cached.
    retryAfter: (error, tries) => (isTransient(error) && tries < STORE_TRIES ? 100 : undefined),
  });
  return {
    find,
    store,
    async forget({ tenantId, key }) {
      await pool.query({
        name: 'forget-cached',
        text: 'DELETE FROM output_cache WHERE tenant_id = $1 AND key = $2',
        values: [tenantId, key],
      });
    },
  };
}
