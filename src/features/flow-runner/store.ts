/** The inbox of requests, and the definitions that came with them. */
import type pg from 'pg';
import { systemAlias } from '../../domain/definition/system-workflow.ts';
import { createBatcher } from '../../store/core/batch.ts';
import { inTransaction } from '../../store/core/in-transaction.ts';
import { isTransient } from '../../store/core/transient.ts';
import type { Claim, FlowInbox, FlowRequest } from './ports.ts';

/** Lists and searches leave out what begins so. */
export const UNLISTED = systemAlias('flow:');

const REQUESTS_PER_STATEMENT = 200;

// An execution that was started otherwise may have the id as well.
const IS_RUN = 'r.id = h.run_id AND r.tenant_id = h.tenant_id AND r.execution_context IS NOT NULL';

const CLAIM = `
INSERT INTO flow_run (run_id, tenant_id, flow_id, digest)
SELECT DISTINCT ON (run_id, tenant_id) run_id, tenant_id, flow_id, digest
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS k(run_id, tenant_id, flow_id, digest)
ORDER BY run_id, tenant_id
ON CONFLICT (run_id, tenant_id) DO NOTHING
RETURNING run_id, tenant_id, digest`;

// A statement of its own: who was waited for is committed, and not in the snapshot of the insert.
const FOUND = `
SELECT h.run_id, h.tenant_id, h.digest, r.id IS NOT NULL AS ran, r.correlation_id
FROM unnest($1::text[], $2::text[]) AS k(run_id, tenant_id)
JOIN flow_run h ON h.run_id = k.run_id AND h.tenant_id = k.tenant_id
LEFT JOIN run r ON ${IS_RUN}`;

const RELEASE = `
DELETE FROM flow_run h WHERE h.run_id = $1 AND h.tenant_id = $2
  AND NOT EXISTS (SELECT FROM run r WHERE ${IS_RUN})`;

const FIND = `
SELECT h.flow_id, r.correlation_id FROM flow_run h
JOIN run r ON ${IS_RUN} WHERE h.run_id = $1 AND h.tenant_id = $2`;

// Its name begins as its id does, so that nobody finds it by the name that it has for its requester.
const MAKE_WORKFLOW = `
INSERT INTO workflow (id, tenant_id, name, description, tags, created_by) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (id) DO NOTHING`;
// A statement of its own, as the tenant of a version is that of its workflow, which has to be seen.
const MAKE_VERSION = `
INSERT INTO workflow_version (workflow_id, version, definition, created_by) VALUES ($1, 1, $2::jsonb, $3)
ON CONFLICT (workflow_id, version) DO NOTHING`;

interface FoundRow {
  run_id: string;
  tenant_id: string;
  digest: string;
  ran: boolean;
  correlation_id: string | null;
}

export function createFlowInbox(pool: pg.Pool): FlowInbox {
  const claim = createBatcher<FlowRequest, Claim>({
    maxItems: REQUESTS_PER_STATEMENT,
    partyOf: ({ tenantId }) => tenantId,
    flush: (requests) => claimAll(pool, requests),
    retryAfter: (error, tries) => (isTransient(error) && tries === 1 ? 50 : undefined),
  });
  return {
    claim,
    async release({ tenantId, runId }) {
      await pool.query(RELEASE, [runId, tenantId]);
    },
    async find(tenantId, runId) {
      const { rows } = await pool.query<{ flow_id: string; correlation_id: string | null }>(FIND, [runId, tenantId]);
      const row = rows[0];
      return row && { flowId: row.flow_id, correlationId: row.correlation_id };
    },
    async storeDefinition({ tenantId, userId }, id, definition) {
      const { name, description = null, tags } = definition;
      await inTransaction(pool, async (client) => {
        await client.query(MAKE_WORKFLOW, [id, tenantId, `${UNLISTED}${name}`, description, tags, userId]);
        await client.query(MAKE_VERSION, [id, JSON.stringify(definition), userId]);
      });
    },
  };
}

/** A run was not stored because there is one with its id, whoever’s it is. */
export function isRunIdTaken(error: unknown): boolean {
  const { code, constraint } = Object(error) as { code?: unknown; constraint?: unknown };
  return code === '23505' && constraint === 'run_pkey';
}

async function claimAll(pool: pg.Pool, requests: readonly FlowRequest[]): Promise<Claim[]> {
  const runIds = requests.map(({ runId }) => runId);
  const tenantIds = requests.map(({ tenantId }) => tenantId);
  const made = await pool.query<Pick<FoundRow, 'run_id' | 'tenant_id' | 'digest'>>({
    name: 'claim-flow-runs',
    text: CLAIM,
    values: [runIds, tenantIds, requests.map(({ flowId }) => flowId), requests.map(({ digest }) => digest)],
  });
  const fresh = new Map(made.rows.map((row) => [keyOf(row.tenant_id, row.run_id), row.digest]));
  const others = requests.filter(({ tenantId, runId }) => !fresh.has(keyOf(tenantId, runId)));
  const found = await findAll(pool, others);
  return requests.map(({ tenantId, runId, digest }): Claim => {
    const key = keyOf(tenantId, runId);
    const mine = fresh.get(key);
    if (mine !== undefined) return mine === digest ? { is: 'new' } : { is: 'other' };
    const row = found.get(key);
    // Who had it has just given it up.
    if (row === undefined) return { is: 'open' };
    if (row.digest !== digest) return { is: 'other' };
    return row.ran ? { is: 'run', correlationId: row.correlation_id } : { is: 'open' };
  });
}

async function findAll(pool: pg.Pool, requests: readonly FlowRequest[]): Promise<Map<string, FoundRow>> {
  if (requests.length === 0) return new Map();
  const { rows } = await pool.query<FoundRow>({
    name: 'claimed-flow-runs',
    text: FOUND,
    values: [requests.map(({ runId }) => runId), requests.map(({ tenantId }) => tenantId)],
  });
  return new Map(rows.map((row) => [keyOf(row.tenant_id, row.run_id), row]));
}

function keyOf(tenantId: string, runId: string): string {
  return JSON.stringify([tenantId, runId]);
}
