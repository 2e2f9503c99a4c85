-- What older readers of the flow runner select from: their columns and types, of the runs that were requested as flow runs.
-- Whoever has the role of the tables’ owner sees all tenants; everybody else the one that orchestrator.tenant names.
CREATE VIEW flow_run_history WITH (security_barrier = true) AS
SELECT h.id, h.run_id, h.flow_id, h.tenant_id,
  r.user_id::varchar(255) AS user_id,
  coalesce(r.correlation_id, r.id)::varchar(255) AS correlation_id,
  -- That a run has started may be seen of its tasks first.
  (CASE WHEN r.status = 'completed' THEN 'COMPLETED' WHEN r.status = 'cancelled' THEN 'CANCELLED' WHEN r.final THEN 'FAILED'
     WHEN r.status IN ('pending', 'queued') AND NOT EXISTS (SELECT FROM task t WHERE t.run_id = r.id AND t.status <> 'pending')
     THEN 'PENDING' ELSE 'RUNNING' END)::varchar(50) AS status,
  CASE WHEN jsonb_typeof(r.parameters -> '$enc') = 'string' THEN '{"encrypted": true}'::jsonb
       WHEN jsonb_typeof(r.parameters -> '$enc') = 'array' THEN r.parameters -> '$enc' -> 0 ELSE r.parameters END AS input_data,
  CASE WHEN jsonb_typeof(r.output -> '$enc') = 'string' THEN '{"encrypted": true}'::jsonb
       WHEN jsonb_typeof(r.output -> '$enc') = 'array' THEN r.output -> '$enc' -> 0 ELSE r.output END AS output_data,
  CASE WHEN jsonb_typeof(r.execution_context -> '$enc') = 'string' THEN '{"encrypted": true}'::jsonb
       WHEN jsonb_typeof(r.execution_context -> '$enc') = 'array' THEN r.execution_context -> '$enc' -> 0 ELSE r.execution_context END AS execution_context,
  CASE WHEN jsonb_typeof(r.error -> '$enc') = 'string' THEN 'encrypted'
       WHEN jsonb_typeof(r.error -> '$enc') = 'array' THEN r.error -> '$enc' -> 0 ->> 'message'
       WHEN jsonb_typeof(r.error) = 'object' THEN coalesce(r.error ->> 'message', r.error::text) ELSE r.error #>> '{}' END AS error_message,
  r.created_at::timestamptz AS created_at,
  greatest(r.created_at, r.started_at, r.finished_at,
    (SELECT max(t.updated_at) FROM task t WHERE t.run_id = r.id))::timestamptz AS updated_at,
  r.finished_at::timestamptz AS completed_at
FROM flow_run h JOIN run r ON r.id = h.run_id::text AND r.tenant_id = h.tenant_id::text
WHERE r.execution_context IS NOT NULL AND (h.tenant_id = current_setting('orchestrator.tenant', true)
    OR (SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class c WHERE c.oid = 'run'::regclass));

-- A task has a row from the start, and its number is that of its run with its place in the definition.
CREATE VIEW task_execution_history WITH (security_barrier = true) AS
SELECT h.id * 10000 + a.place - 1 AS id, h.run_id,
  (a.action ->> 'action_id')::varchar(255) AS task_id,
  (a.action ->> 'action_type')::varchar(255) AS handler,
  (CASE WHEN t.status IN ('completed', 'skipped') THEN 'COMPLETED' WHEN t.status = 'failed' THEN 'DEAD_LETTER'
     WHEN t.final THEN 'FAILED' WHEN t.status = 'retrying' THEN 'RETRYING'
     WHEN t.status IN ('running', 'waiting') THEN 'RUNNING' ELSE 'PENDING' END)::varchar(50) AS status,
  coalesce(t.attempt, 0)::integer AS attempts,
  CASE WHEN jsonb_typeof(t.input -> '$enc') = 'string' THEN '{"encrypted": true}'::jsonb
       WHEN jsonb_typeof(t.input -> '$enc') = 'array' THEN t.input -> '$enc' -> 0 ELSE t.input END AS input_data,
  CASE WHEN jsonb_typeof(t.output -> '$enc') = 'string' THEN '{"encrypted": true}'::jsonb
       WHEN jsonb_typeof(t.output -> '$enc') = 'array' THEN t.output -> '$enc' -> 0 ELSE t.output END AS output_data,
  CASE WHEN jsonb_typeof(t.error -> '$enc') = 'string' THEN 'encrypted'
       WHEN jsonb_typeof(t.error -> '$enc') = 'array' THEN t.error -> '$enc' -> 0 ->> 'message'
       WHEN jsonb_typeof(t.error) = 'object' THEN coalesce(t.error ->> 'message', t.error::text) ELSE t.error #>> '{}' END AS error_message,
  least(extract(epoch FROM t.finished_at - t.started_at) * 1000, 2147483647)::integer AS execution_time_ms,
  coalesce(t.started_at, r.created_at)::timestamptz AS created_at,
  coalesce(t.updated_at, r.created_at)::timestamptz AS updated_at,
  t.finished_at::timestamptz AS completed_at
FROM flow_run h JOIN run r ON r.id = h.run_id::text AND r.tenant_id = h.tenant_id::text
JOIN workflow_version v ON v.workflow_id = r.workflow_id AND v.version = r.workflow_version
CROSS JOIN LATERAL jsonb_array_elements(v.definition -> 'actions') WITH ORDINALITY AS a(action, place)
LEFT JOIN task t ON t.run_id = r.id AND t.action_id = a.action ->> 'action_id'
WHERE r.execution_context IS NOT NULL AND (h.tenant_id = current_setting('orchestrator.tenant', true)
    OR (SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class c WHERE c.oid = 'run'::regclass));

-- They read with the rights of who reads. PostgreSQL 14 cannot do that: there the condition within them is alone.
DO $$ BEGIN
  IF current_setting('server_version_num')::int >= 150000 THEN
    ALTER VIEW flow_run_history SET (security_invoker = true);
    ALTER VIEW task_execution_history SET (security_invoker = true);
  END IF;
END $$;
