/** The Jobs that tasks have on a cluster: a row is stored before its Job is applied, and goes after it. */
import type pg from 'pg';
import { RUN_MOVES } from '../../domain/runs/run-states.ts';
import { createInstallation } from '../../store/core/installation.ts';
import { sqlList } from '../../store/core/states.ts';
import { persist } from '../../store/core/transient.ts';
import type { JobKey } from './domain.ts';
import type { KubernetesJobs } from './ports.ts';

const CLAIM_SECONDS = 60;
const CALLED_OFF = [...RUN_MOVES.endCancelled.from, ...RUN_MOVES.endCancelled.to];

// A name is of one task only: another one's row is left alone, and finds no Job of its own.
const OPEN = `
INSERT INTO kubernetes_job AS j (namespace, name, tenant_id, run_id, action_id, epoch)
SELECT $1, $2, r.tenant_id, r.id, $4, r.epoch
FROM run r LEFT JOIN task t ON t.run_id = r.id AND t.action_id = $4
WHERE r.id = $3 AND r.epoch = $5 AND NOT r.final AND r.status <> 'cancelling' AND t.final IS NOT TRUE
ON CONFLICT (namespace, name) DO UPDATE SET claimed_until = NULL
WHERE j.run_id = EXCLUDED.run_id AND j.action_id = EXCLUDED.action_id AND j.epoch = EXCLUDED.epoch
RETURNING j.name`;

/** What completed keeps its Job until the cluster removes that; a task that was started anew has another one. */
const UNWANTED = `(r.id IS NULL OR r.status IN ${sqlList(CALLED_OFF)}
  OR t.final AND t.status <> 'completed' OR coalesce(t.epoch, r.epoch) > j.epoch
  OR r.final AND t.final IS NOT TRUE)`;
const TASK_OF_JOB = `kubernetes_job j LEFT JOIN run r ON r.id = j.run_id
  LEFT JOIN task t ON t.run_id = j.run_id AND t.action_id = j.action_id`;

const CLAIM = `
WITH unwanted AS (
  SELECT j.namespace, j.name FROM ${TASK_OF_JOB}
  WHERE ${UNWANTED} AND (j.claimed_until IS NULL OR j.claimed_until <= now())
  ORDER BY j.created_at LIMIT $1 FOR UPDATE OF j SKIP LOCKED
)
UPDATE kubernetes_job j SET claimed_until = now() + interval '${CLAIM_SECONDS} seconds'
FROM unwanted u WHERE j.namespace = u.namespace AND j.name = u.name
RETURNING j.namespace, j.name`;

const REMOVE = `
DELETE FROM kubernetes_job j USING unnest($1::text[], $2::text[]) AS gone (namespace, name)
WHERE j.namespace = gone.namespace AND j.name = gone.name`;

const COMPLETED = `
SELECT j.name FROM ${TASK_OF_JOB} WHERE j.namespace = $1 AND t.final AND t.status = 'completed' AND t.epoch = j.epoch`;

const KNOWN = 'SELECT name FROM kubernetes_job WHERE namespace = $1 AND name = ANY ($2::text[])';

export function createKubernetesJobs(pool: pg.Pool): KubernetesJobs {
  return {
    installation: createInstallation(pool),
    async open({ namespace, name }, { runId, actionId, epoch }) {
      const values = [namespace, name, runId, actionId, epoch];
      const { rows } = await persist(() => pool.query({ name: 'open-kubernetes-job', text: OPEN, values }));
      return rows.length > 0;
    },
    async claimUnwanted(limit) {
      const { rows } = await pool.query<JobKey>({ name: 'claim-kubernetes-jobs', text: CLAIM, values: [limit] });
      return rows.map(({ namespace, name }) => ({ namespace, name }));
    },
    async remove(keys) {
      await pool.query(REMOVE, [keys.map(({ namespace }) => namespace), keys.map(({ name }) => name)]);
    },
    async completed(namespace) {
      const { rows } = await pool.query<{ name: string }>(COMPLETED, [namespace]);
      return rows.map(({ name }) => name);
    },
    async known(namespace, names) {
      const { rows } = await pool.query<{ name: string }>(KNOWN, [namespace, names]);
      return new Set(rows.map(({ name }) => name));
    },
  };
}
