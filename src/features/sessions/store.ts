/** Sessions: which run a session id has. The run is stored in the same transaction, so there is none without the other. */
import type pg from 'pg';
import type { StoredRun } from '../../engine/ports/runs.ts';
import { acceptRuns } from '../../store/accept/accept-runs.ts';
import { inTransaction } from '../../store/core/in-transaction.ts';
import { definitionRef, type RawRun } from '../../store/runs/run-row.ts';
import type { MfaCodes, SessionRow, SessionStore } from './ports.ts';

// Whoever is second waits here for the first to commit, and then finds its row.
const CLAIM = `
INSERT INTO session_run (tenant_id, session_id, run_id, keep_open, mfa_code) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, session_id) DO NOTHING`;

const FIRST = `
SELECT r.id, r.status, r.created_at, r.workflow_id, r.workflow_version, r.inline
FROM session_run s JOIN run r ON r.id = s.run_id WHERE s.tenant_id = $1 AND s.session_id = $2`;

const FIND = `
SELECT s.session_id AS "sessionId", s.run_id AS "runId", s.keep_open AS "keepOpen", r.epoch, r.status,
  s.terminated_epoch IS NOT DISTINCT FROM r.epoch AS terminated, r.deadline_at AS "expiresAt",
  (SELECT count(*)::int FROM event WHERE run_id = s.run_id) AS "historyLength"
FROM session_run s JOIN run r ON r.id = s.run_id WHERE s.tenant_id = $1 AND s.session_id = $2`;

const TERMINATE = `
UPDATE session_run s SET terminated_epoch = r.epoch FROM run r
WHERE r.id = s.run_id AND s.tenant_id = $1 AND s.run_id = $2 AND NOT r.final`;

const EXTEND = `
UPDATE run SET deadline_at = greatest(deadline_at, now() + make_interval(secs => $3::float8))
WHERE tenant_id = $1 AND id = $2 AND NOT final AND status <> 'cancelling' RETURNING deadline_at`;

const HISTORY_LENGTH = 'SELECT count(*)::int AS events FROM event WHERE run_id = $1';

const MFA_CODE = `
SELECT tenant_id AS "tenantId", session_id AS "sessionId", mfa_code AS envelope FROM session_run
WHERE run_id = $1 AND mfa_code IS NOT NULL`;

const REMOVE_USED = `
UPDATE session_run s SET mfa_code = NULL FROM run r
WHERE s.mfa_code IS NOT NULL AND r.id = s.run_id
  AND (r.final OR EXISTS (SELECT FROM task t WHERE t.run_id = r.id AND t.action_id = 'token' AND t.final))`;

type FoundSession = Omit<SessionRow, 'expiresAt'> & { expiresAt: Date | null };

export function createSessionStore(pool: pg.Pool): SessionStore {
  return {
    async find(tenantId, sessionId) {
      const { rows } = await pool.query<FoundSession>({
        name: 'find-session',
        text: FIND,
        values: [tenantId, sessionId],
      });
      const [row] = rows;
      return row && { ...row, expiresAt: row.expiresAt ?? undefined };
    },
    accept: (run, { sessionId, ttlSeconds, mfaCode }) =>
      inTransaction(pool, async (client) => {
        const claimed = await client.query(CLAIM, [
          ...[run.tenantId, sessionId, run.id, ttlSeconds !== undefined, mfaCode ?? null],
        ]);
        if (claimed.rowCount === 0) return firstOf(client, run.tenantId, sessionId);
        const [stored] = await acceptRuns(client, [{ ...run, timeoutSeconds: ttlSeconds }]);
        if (stored === undefined) throw new Error(`the run ${run.id} of a session was not stored`);
        return stored;
      }),
    async markTerminated(tenantId, runId) {
      return (await pool.query(TERMINATE, [tenantId, runId])).rowCount === 1;
    },
    async historyLength(runId) {
      const { rows } = await pool.query<{ events: number }>(HISTORY_LENGTH, [runId]);
      return rows[0]?.events ?? 0;
    },
    async extend(tenantId, runId, seconds) {
      const { rows } = await pool.query<{ deadline_at: Date }>(EXTEND, [tenantId, runId, seconds]);
      return rows[0]?.deadline_at;
    },
  };
}

async function firstOf(client: pg.PoolClient, tenantId: string, sessionId: string): Promise<StoredRun> {
  type First = Pick<RawRun, 'id' | 'workflow_id' | 'workflow_version' | 'inline' | 'status' | 'created_at'>;
  const { rows } = await client.query<First>(FIRST, [tenantId, sessionId]);
  const [row] = rows;
  if (row === undefined) throw new Error(`the session ${sessionId} is gone`);
  const { id, status, created_at: createdAt } = row;
  return { id, status, createdAt, requestHash: null, of: definitionRef(row), inserted: false };
}

export function createMfaCodes(pool: pg.Pool): MfaCodes {
  return {
    async find(runId) {
      const { rows } = await pool.query<{ tenantId: string; sessionId: string; envelope: string }>(MFA_CODE, [runId]);
      return rows[0];
    },
    removeUsed: async () => (await pool.query(REMOVE_USED)).rowCount ?? 0,
  };
}
