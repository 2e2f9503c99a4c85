/** The whole independent check: reads the tables once and holds everything that was seen against them. */
import type pg from 'pg';
import { checkCalls, type Disturbance, type OutsideCall, type TaskRecord } from './calls.ts';
import { type AttemptsOfTask, checkPromises, type Promised, type RunRecord } from './promises.ts';
import { brokenRules, type Violation } from './rules.ts';

export interface Evidence {
  calls: readonly OutsideCall[];
  disturbances: readonly Disturbance[];
  promised: readonly Promised[];
}

const RUNS = 'SELECT id, idempotency_key, status, final, epoch, parent_run_id, parent_action_id FROM run';
const TASKS = `
SELECT t.run_id, t.action_id, t.action_type, t.epoch, t.status, t.final, t.output, coalesce(t.cached, false) AS cached, coalesce(t.effect_unknown, false) AS effect_unknown,
       extract(epoch FROM t.finished_at)::float8 * 1000 AS finished_ms, coalesce(d.depends_on, '[]') AS depends_on
FROM task t
LEFT JOIN (SELECT r.id AS run_id, a.value->>'action_id' AS action_id, a.value->'depends_on' AS depends_on
           FROM run r JOIN workflow_version v ON v.workflow_id = r.workflow_id AND v.version = r.workflow_version,
                jsonb_array_elements(v.definition->'actions') a) d
  ON d.run_id = t.run_id AND d.action_id = t.action_id
-- Items and iterations are the business of their action.
WHERE t.parent_id IS NULL`;
const ATTEMPTS = 'SELECT run_id, action_id, epoch, count(*)::int AS attempts FROM attempt GROUP BY 1, 2, 3';

export async function findViolations(db: pg.Pool, evidence: Evidence): Promise<Violation[]> {
  const broken = await brokenRules(db);
  const runs = (await db.query<RunRecord>(RUNS)).rows;
  const tasks = (await db.query<TaskRecord>(TASKS)).rows;
  const attempts = (await db.query<AttemptsOfTask>(ATTEMPTS)).rows;
  const byKey = attempts.map((one) => ({ key: `${one.run_id}.${one.epoch}.${one.action_id}`, attempts: one.attempts }));
  return [
    ...broken,
    ...checkCalls(evidence.calls, tasks, byKey, evidence.disturbances),
    ...checkPromises(evidence.promised, runs, tasks, attempts),
  ];
}
