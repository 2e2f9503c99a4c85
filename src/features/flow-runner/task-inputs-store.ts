/** The inputs of attempts of published tasks, for those whose message was too large to have them. */
import type pg from 'pg';
import type { Json } from '../../schemas/json.ts';
import type { ReadTaskInputs } from './ports.ts';

const READ = `
SELECT e.input, e.tenant_id, e.topic, e.attempt, r.execution_context FROM external_task e JOIN run r ON r.id = e.run_id
WHERE r.tenant_id = $1 AND e.run_id = $2 AND e.action_id = $3 AND e.by_message AND ($4::int IS NULL OR e.attempt = $4::int + 1)
ORDER BY e.epoch DESC, e.attempt DESC LIMIT 1`;

/** Of a task that failed without being published, say of a handler that has an adapter here, and is a dead letter. */
const READ_TASK = `
SELECT t.input, r.tenant_id, t.action_type AS topic, greatest(t.attempt, 1) AS attempt, r.execution_context
FROM task t JOIN run r ON r.id = t.run_id
WHERE r.tenant_id = $1 AND t.run_id = $2 AND t.action_id = $3 AND r.execution_context IS NOT NULL
  AND NOT EXISTS (SELECT FROM external_task e WHERE e.run_id = t.run_id AND e.action_id = t.action_id AND e.by_message)`;

interface Row {
  input: Json;
  topic: string;
  attempt: number;
  execution_context: Json;
}

export function createTaskInputs(pool: pg.Pool): ReadTaskInputs {
  return async (tenantId, runId, taskId, attempt) => {
    const published = await pool.query<Row>(READ, [tenantId, runId, taskId, attempt ?? null]);
    const row = published.rows[0] ?? (await pool.query<Row>(READ_TASK, [tenantId, runId, taskId])).rows[0];
    return (
      row && {
        handler: row.topic,
        attempt: row.attempt - 1,
        inputs: row.input ?? {},
        executionContext: row.execution_context ?? {},
      }
    );
  };
}
