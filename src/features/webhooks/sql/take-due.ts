/** Takes the deliveries that are due, for as long as a lease. */
import { DELIVERY } from '../delivery-row.ts';

// The lanes of callbacks are read off their index, one step for each. Of each lane so many as it has room for, so that the
// many that one is owed do not hide those of another; the lanes of a tenant share what the tenant has room for in turn.
export const TAKE_DUE = `
WITH RECURSIVE callback_lane AS (
  (SELECT tenant_id, host FROM webhook_delivery WHERE status = 'pending' AND webhook_id IS NULL ORDER BY tenant_id, host LIMIT 1)
  UNION ALL
  SELECT n.tenant_id, n.host FROM callback_lane l CROSS JOIN LATERAL (
    SELECT d.tenant_id, d.host FROM webhook_delivery d
    WHERE d.status = 'pending' AND d.webhook_id IS NULL AND (d.tenant_id, d.host) > (l.tenant_id, l.host)
    ORDER BY d.tenant_id, d.host LIMIT 1
  ) n
), busy AS MATERIALIZED (
  SELECT * FROM unnest($1::text[], $2::int[]) AS b(lane, calls)
), busy_tenant AS MATERIALIZED (
  SELECT * FROM unnest($3::text[], $4::int[]) AS b(tenant_id, calls)
), lane AS MATERIALIZED (
  SELECT l.*, greatest(0, CASE WHEN c.open_until IS NULL THEN $5::int ELSE 1 END - coalesce(b.calls, 0)) AS room
  FROM (
    SELECT id AS lane, id AS webhook_id, tenant_id, delivery_host(url) AS host, url, secret,
      CASE WHEN previous_secret_until > now() THEN previous_secret END AS previous_secret
    FROM webhook WHERE active
    UNION ALL
    SELECT tenant_id || ' ' || host, NULL, tenant_id, host, NULL, NULL, NULL FROM callback_lane
  ) l
  LEFT JOIN busy b ON b.lane = l.lane
  LEFT JOIN delivery_circuit c ON c.tenant_id = l.tenant_id AND c.host = l.host
  WHERE c.open_until IS NULL OR c.open_until <= now()
), of_webhook AS MATERIALIZED (
  SELECT l.lane, l.tenant_id, d.id, d.due_at FROM lane l CROSS JOIN LATERAL (
    SELECT id, due_at FROM webhook_delivery
    WHERE webhook_id = l.webhook_id AND status = 'pending' AND due_at <= now()
    ORDER BY due_at LIMIT l.room FOR UPDATE SKIP LOCKED
  ) d WHERE l.webhook_id IS NOT NULL
), of_callback AS MATERIALIZED (
  SELECT l.lane, l.tenant_id, d.id, d.due_at FROM lane l CROSS JOIN LATERAL (
    SELECT id, due_at FROM webhook_delivery
    WHERE webhook_id IS NULL AND tenant_id = l.tenant_id AND host = l.host AND status = 'pending' AND due_at <= now()
    ORDER BY due_at LIMIT l.room FOR UPDATE SKIP LOCKED
  ) d WHERE l.webhook_id IS NULL
), in_lanes AS (
  SELECT f.*, row_number() OVER (PARTITION BY f.lane ORDER BY f.due_at, f.id) AS n
  FROM (SELECT * FROM of_webhook UNION ALL SELECT * FROM of_callback) f
), in_turn AS (
  SELECT i.*, row_number() OVER (PARTITION BY i.tenant_id ORDER BY i.n, i.due_at, i.id) AS turn FROM in_lanes i
), u AS (
  UPDATE webhook_delivery d SET attempts = d.attempts + 1, due_at = now() + make_interval(secs => $7::float8 / 1000)
  FROM in_turn i LEFT JOIN busy_tenant t ON t.tenant_id = i.tenant_id
  WHERE d.id = i.id AND i.turn <= $6::int - coalesce(t.calls, 0)
  RETURNING ${DELIVERY}, d.tenant_id AS "tenantId", i.lane, d.url
)
SELECT u.*, l.host, coalesce(u.url, l.url) AS url, l.secret, l.previous_secret AS "previousSecret",
  r.workflow_id AS "workflowId", r.correlation_id AS "correlationId", r.trace_id AS "traceId", r.parent_span_id AS "parentSpan"
FROM u JOIN lane l ON l.lane = u.lane LEFT JOIN run r ON r.id = u."runId" ORDER BY u.at, u.id`;
