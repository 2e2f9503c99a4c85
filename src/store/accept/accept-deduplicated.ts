/**
 * The acceptance of runs whose workflow has `dedupe`. Who owns a key is one row of `run_dedupe`: it is claimed, or taken
 * over when its window is over, in the statement that inserts the run, so of any number of requests at a time one gets it.
 * An idempotency key that has a run goes first and claims nothing.
 */
import type pg from 'pg';
import type { NewRun, RunDedupe, StoredRun } from '../../engine/ports/runs.ts';
import { inTransaction } from '../core/in-transaction.ts';
import { definitionRef, type RawRun } from '../runs/run-row.ts';
import {
  findExisting,
  insertedFields,
  NEW_RUNS,
  newRunValues,
  RUN_FIELDS,
  storedRuns,
  tenantKey,
} from './accept-runs.ts';

export type DeduplicatedRun = NewRun & { dedupe: RunDedupe };

/** The holder of a key may go between the claim and the read of it: then the key is free and is claimed again. */
const ROUNDS = 3;

// now() is when the transaction started, and the window of a holder that was waited for ends after that.
const ACCEPT = `
WITH n AS MATERIALIZED (
  SELECT n.*, k.dedupe_key, k.window_seconds FROM ${NEW_RUNS}
  JOIN unnest($1::text[], $22::text[], $23::float8[]) AS k(id, dedupe_key, window_seconds) USING (id)
), claimed AS (
  INSERT INTO run_dedupe AS d (tenant_id, workflow_id, key, run_id, expires_at)
  SELECT DISTINCT ON (n.tenant_id, n.workflow_id, n.dedupe_key)
         n.tenant_id, n.workflow_id, n.dedupe_key, n.id, now() + make_interval(secs => n.window_seconds)
  -- One look into the index for each; as a join it may become one through all runs.
  FROM n WHERE (SELECT r.id FROM run r WHERE r.tenant_id = n.tenant_id AND r.idempotency_key = n.idempotency_key LIMIT 1) IS NULL
  ORDER BY n.tenant_id, n.workflow_id, n.dedupe_key, n.id
  ON CONFLICT (tenant_id, workflow_id, key) DO UPDATE SET run_id = EXCLUDED.run_id, expires_at = EXCLUDED.expires_at
  WHERE d.expires_at <= now()
  RETURNING d.run_id
), inserted AS (
  INSERT INTO run (${RUN_FIELDS}) SELECT ${insertedFields()} FROM n JOIN claimed c ON c.run_id = n.id
  ON CONFLICT (tenant_id, idempotency_key) DO NOTHING
  RETURNING id, created_at
)
SELECT c.run_id AS id, i.created_at FROM claimed c LEFT JOIN inserted i ON i.id = c.run_id`;

const HOLDERS = `
SELECT DISTINCT ON (k.tenant_id, k.workflow_id, k.key) k.tenant_id, k.workflow_id AS of_workflow, k.key,
  r.id, r.status, r.created_at, r.workflow_id, r.workflow_version, r.inline
FROM unnest($1::text[], $2::text[], $3::text[]) AS k(tenant_id, workflow_id, key)
CROSS JOIN LATERAL (
  SELECT d.run_id FROM run_dedupe d
  WHERE d.tenant_id = k.tenant_id AND d.workflow_id = k.workflow_id AND d.key = k.key LIMIT 1
) d
CROSS JOIN LATERAL (SELECT * FROM run WHERE id = d.run_id LIMIT 1) r`;

type Holder = Pick<
  RawRun,
  'id' | 'tenant_id' | 'workflow_id' | 'workflow_version' | 'inline' | 'status' | 'created_at'
> & {
  of_workflow: string;
  key: string;
};

export function isDeduplicated(run: NewRun): run is DeduplicatedRun {
  return run.dedupe !== undefined;
}

export async function acceptDeduplicated(pool: pg.Pool, runs: readonly DeduplicatedRun[]): Promise<StoredRun[]> {
  return inRounds(runs, (open) => inTransaction(pool, (client) => acceptOnce(client, open)));
}

/** In a transaction of the caller's. */
export async function acceptDeduplicatedIn(
  client: pg.ClientBase,
  runs: readonly DeduplicatedRun[],
): Promise<StoredRun[]> {
  return inRounds(runs, (open) => acceptOnce(client, open));
}

async function inRounds(
  runs: readonly DeduplicatedRun[],
  accept: (open: readonly DeduplicatedRun[]) => Promise<Map<string, StoredRun>>,
): Promise<StoredRun[]> {
  const stored = new Map<string, StoredRun>();
  for (let round = 1; round <= ROUNDS && stored.size < runs.length; round += 1) {
    const found = await accept(runs.filter(({ id }) => !stored.has(id)));
    for (const [id, row] of found) stored.set(id, row);
  }
  return runs.map((run) => {
    const row = stored.get(run.id);
    if (row === undefined) throw new Error(`run ${run.id} could not claim its key, and nobody was found to have it`);
    return row;
  });
}

/** Those of which is known what became of them, by their ids. */
async function acceptOnce(client: pg.ClientBase, runs: readonly DeduplicatedRun[]): Promise<Map<string, StoredRun>> {
  const { rows } = await client.query<{ id: string; created_at: Date | null }>({
    name: 'accept-deduplicated',
    text: ACCEPT,
    values: [
      ...newRunValues(runs),
      runs.map(({ dedupe }) => dedupe.key),
      runs.map(({ dedupe }) => dedupe.windowSeconds),
    ],
  });
  const createdAt = new Map(rows.flatMap(({ id, created_at: at }) => (at === null ? [] : [[id, at] as const])));
  // A duplicate with the same idempotency key and another dedupe key came first: a run that is not leaves no claim.
  const without = rows.filter(({ created_at: at }) => at === null).map(({ id }) => id);
  if (without.length > 0) await client.query('DELETE FROM run_dedupe WHERE run_id = ANY($1::text[])', [without]);
  if (createdAt.size === runs.length) return storedRuns(runs, createdAt, new Map());

  const others = runs.filter(({ id }) => !createdAt.has(id));
  const byIdempotencyKey = await findExisting(client, others);
  const stored = storedRuns(runs, createdAt, byIdempotencyKey);
  const losers = others.filter(({ id }) => !stored.has(id));
  const holders = await findHolders(client, losers);
  for (const run of losers) {
    const holder = holders.get(holderKey(run.tenantId, workflowOf(run), run.dedupe.key));
    if (holder !== undefined) stored.set(run.id, storedHolder(run, holder));
  }
  return stored;
}

/** The holder is the run itself when the answer to an earlier try was lost. */
function storedHolder(run: DeduplicatedRun, holder: Holder): StoredRun {
  const { id, status, created_at: createdAt } = holder;
  const row = { id, status, createdAt, requestHash: run.requestHash ?? null, of: definitionRef(holder) };
  return id === run.id ? { ...row, inserted: true } : { ...row, inserted: false, deduplicated: true };
}

async function findHolders(client: pg.ClientBase, runs: readonly DeduplicatedRun[]): Promise<Map<string, Holder>> {
  if (runs.length === 0) return new Map();
  const { rows } = await client.query<Holder>({
    name: 'holders-of-dedupe-keys',
    text: HOLDERS,
    values: [runs.map((run) => run.tenantId), runs.map(workflowOf), runs.map(({ dedupe }) => dedupe.key)],
  });
  return new Map(rows.map((row) => [holderKey(row.tenant_id, row.of_workflow, row.key), row]));
}

function workflowOf({ of }: NewRun): string | null {
  return 'workflow_id' in of ? of.workflow_id : null;
}

function holderKey(tenantId: string, workflowId: string | null, key: string): string {
  return tenantKey(tenantId, `${key} ${workflowId}`);
}
