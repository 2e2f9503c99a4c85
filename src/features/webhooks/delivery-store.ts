/**
 * What webhooks and callbacks are owed. Triggers write it with what it is about, in one transaction: docs/decisions has why.
 * A delivery stands in a lane, that of its webhook, or that of the tenant and host of its callback.
 */
import type pg from 'pg';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { Keyring } from '../../engine/keyring.ts';
import type { Json } from '../../schemas/json.ts';
import { type SealedTexts, sealedTexts, webhookContext } from '../../store/payloads/sealed-texts.ts';
import type { CallbackBody, DeliveryStatus, DueDelivery, WebhookDelivery, WebhookDeliveryStore } from './ports.ts';

export const DELIVERY = `d.id, d.webhook_id, d.kind, d.run_id, d.action_id, d.epoch, d.attempt, d.data, d.at, d.status, d.attempts, d.due_at,
  d.last_status, d.last_error, d.ended_at`;

/** So many in a row that got no answer, and their host is left alone for a while; the second number is in seconds. */
const OPENS_AFTER = 5;
const FIRST_PAUSE = 5;
const LONGEST_PAUSE = 300;

// The lanes of callbacks are read off their index, one step for each. Of each lane so many as it has room for, so that the
// many that one is owed do not hide those of another; the lanes of a tenant share what the tenant has room for in turn.
const TAKE_DUE = `
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
  RETURNING ${DELIVERY}, d.tenant_id, i.lane, d.url
)
SELECT u.*, l.host, coalesce(u.url, l.url) AS url, l.secret, l.previous_secret, r.workflow_id, r.correlation_id, r.trace_id, r.parent_span_id
FROM u JOIN lane l ON l.lane = u.lane LEFT JOIN run r ON r.id = u.run_id ORDER BY u.at, u.id`;

const DELIVERED = `
WITH d AS (
  UPDATE webhook_delivery SET status = 'delivered', last_status = $3, last_error = NULL, ended_at = now()
  WHERE id = $1 AND attempts = $2 AND status = 'pending'
), c AS (
  DELETE FROM delivery_circuit WHERE tenant_id = $5 AND host = $6
)
UPDATE webhook SET failing_since = NULL WHERE id = $4 AND failing_since IS NOT NULL`;

// The calls that were under way when it opened do not make its pause longer. A delivery that was erased during its call leaves
// nothing behind.
const FAILED = `
WITH d AS (
  UPDATE webhook_delivery SET last_status = $3, last_error = $4,
    status = CASE WHEN $5::float8 IS NULL THEN 'dead' ELSE status END,
    ended_at = CASE WHEN $5::float8 IS NULL THEN now() END,
    due_at = now() + make_interval(secs => coalesce($5::float8, 0))
  WHERE id = $1 AND attempts = $2 AND status = 'pending' RETURNING id
), c AS (
  INSERT INTO delivery_circuit AS c (tenant_id, host, failures) SELECT $9, $10, 1 FROM d WHERE $11::boolean
  ON CONFLICT (tenant_id, host) DO UPDATE SET failures = c.failures + 1, updated_at = now(),
    open_until = CASE WHEN c.failures + 1 >= ${OPENS_AFTER}
      THEN now() + make_interval(secs => least(${LONGEST_PAUSE}, ${FIRST_PAUSE} * power(2, least(c.failures + 1 - ${OPENS_AFTER}, 20)))) END
  WHERE c.open_until IS NULL OR c.open_until <= now()
), w AS (
  SELECT id, $7::boolean OR failing_since < now() - make_interval(secs => $8::float8) AS enough FROM webhook WHERE id = $6 FOR UPDATE
)
UPDATE webhook SET failing_since = coalesce(webhook.failing_since, now()), active = webhook.active AND NOT coalesce(w.enough, false),
  disabled_reason = CASE WHEN webhook.active AND w.enough THEN $4 ELSE webhook.disabled_reason END
FROM w WHERE webhook.id = w.id RETURNING coalesce(w.enough, false) AS disabled`;

/** A run that was started again meanwhile tells its next end. */
const CALLBACK = `
SELECT r.id, r.tenant_id, r.workflow_id, r.workflow_version, r.status, r.error, r.correlation_id, r.created_at, r.finished_at,
  CASE WHEN r.workflow_id IS NULL THEN (SELECT t.output FROM task t WHERE t.run_id = r.id LIMIT 1) ELSE r.output END AS output
FROM run r WHERE r.id = $1 AND r.epoch = $2 AND r.final`;

const REMOVE_OLD = `
DELETE FROM webhook_delivery WHERE id IN (
  SELECT id FROM webhook_delivery
  WHERE status <> 'pending' AND ended_at < now() - make_interval(days => $1::int)
    AND (status = 'delivered' OR ended_at < now() - make_interval(days => $2::int))
  ORDER BY ended_at LIMIT $3 FOR UPDATE SKIP LOCKED)`;

// A host that is never there again is tried so seldom that the tries of each delivery do not come to their end.
const GIVE_UP = `
UPDATE webhook_delivery SET status = 'dead', ended_at = now(), last_error = coalesce(last_error, 'The host has not answered')
WHERE id IN (
  SELECT id FROM webhook_delivery
  WHERE status = 'pending' AND webhook_id IS NULL AND at < now() - make_interval(days => $1::int) LIMIT $2 FOR UPDATE SKIP LOCKED)`;
const FORGET_CIRCUITS = `DELETE FROM delivery_circuit WHERE updated_at < now() - interval '7 days'`;

export interface RawDelivery {
  id: string;
  webhook_id: string | null;
  kind: string;
  run_id: string | null;
  action_id: string | null;
  epoch: number | null;
  attempt: number | null;
  data: Json;
  at: Date;
  status: DeliveryStatus;
  attempts: number;
  due_at: Date;
  last_status: number | null;
  last_error: string | null;
  ended_at: Date | null;
}
type RawDue = RawDelivery & {
  lane: string;
  url: string;
  host: string;
  secret: string | null;
  previous_secret: string | null;
  workflow_id: string | null;
  correlation_id: string | null;
  tenant_id: string;
  trace_id: string | null;
  parent_span_id: string | null;
};
interface RawCallback {
  id: string;
  workflow_id: string | null;
  workflow_version: number | null;
  status: string;
  output: Json;
  error: Json;
  correlation_id: string | null;
  created_at: Date;
  finished_at: Date | null;
}

export function createWebhookDeliveryStore(pool: pg.Pool, keyring: Keyring | undefined): WebhookDeliveryStore {
  const texts = sealedTexts(keyring);
  return {
    async takeDue({ perLane, perTenant, lanes, tenants }, leaseMs) {
      const { rows } = await pool.query<RawDue>({
        name: 'take-due-webhooks',
        text: TAKE_DUE,
        values: [...columnsOf(lanes), ...columnsOf(tenants), perLane, perTenant, leaseMs],
      });
      return rows.map(
        (row): DueDelivery => ({
          ...toDelivery(row),
          lane: row.lane,
          url: row.url,
          host: row.host,
          ...secretsIn(row, texts),
          workflowId: row.workflow_id,
          correlationId: row.correlation_id,
          tenantId: row.tenant_id,
          traceId: row.trace_id,
          parentSpan: row.parent_span_id,
        }),
      );
    },
    async callbackOf({ runId, epoch }) {
      const { rows } = await pool.query<RawCallback>({
        name: 'callback-body',
        text: CALLBACK,
        values: [runId, epoch],
      });
      return rows[0] === undefined ? undefined : toCallback(rows[0]);
    },
    async delivered({ id, attempts, webhookId, tenantId, host }, status) {
      const values = [id, attempts, status, webhookId, tenantId, host];
      await pool.query({ name: 'webhook-delivered', text: DELIVERED, values });
    },
    async failed(delivery, { status, error, gone, unavailable }, againAfterSeconds, disableAfterSeconds) {
      const { id, attempts, webhookId, tenantId, host } = delivery;
      const { rows } = await pool.query<{ disabled: boolean }>({
        name: 'webhook-failed',
        text: FAILED,
        values: [
          ...[id, attempts, status, error, againAfterSeconds ?? null, webhookId, gone, disableAfterSeconds],
          ...[tenantId, host, unavailable],
        ],
      });
      return rows[0]?.disabled === true;
    },
    async removeOld({ delivered, dead, callback }, limit) {
      await pool.query(GIVE_UP, [callback, limit]);
      await pool.query(FORGET_CIRCUITS);
      const { rowCount } = await pool.query(REMOVE_OLD, [delivered, dead, limit]);
      return rowCount ?? 0;
    },
  };
}

function columnsOf(counts: ReadonlyMap<string, number>): [string[], number[]] {
  return [[...counts.keys()], [...counts.values()]];
}

/** Those of one that cannot be read must not hold up the others. */
function secretsIn(row: RawDue, texts: SealedTexts): Pick<DueDelivery, 'secrets' | 'unsignable'> {
  const webhookId = row.webhook_id;
  if (webhookId === null) return { secrets: [] };
  const stored = [row.secret, row.previous_secret].flatMap((text) => (text === null ? [] : [text]));
  try {
    return { secrets: stored.map((text) => texts.open(text, webhookContext(row.tenant_id, webhookId))) };
  } catch (error) {
    return { secrets: [], unsignable: errorMessage(error) };
  }
}

function toCallback(raw: RawCallback): CallbackBody {
  return {
    ...(raw.workflow_id === null
      ? { task_id: raw.id }
      : { execution_id: raw.id, workflow_id: raw.workflow_id, workflow_version: raw.workflow_version }),
    status: raw.status,
    result: raw.output,
    error: raw.error,
    correlation_id: raw.correlation_id,
    created_at: raw.created_at.toISOString(),
    finished_at: raw.finished_at?.toISOString() ?? null,
  };
}

export function toDelivery(raw: RawDelivery): WebhookDelivery {
  return {
    id: raw.id,
    webhookId: raw.webhook_id,
    kind: raw.kind,
    runId: raw.run_id,
    actionId: raw.action_id,
    epoch: raw.epoch,
    attempt: raw.attempt,
    data: raw.data,
    at: raw.at,
    status: raw.status,
    attempts: raw.attempts,
    dueAt: raw.due_at,
    lastStatus: raw.last_status,
    lastError: raw.last_error,
    endedAt: raw.ended_at,
  };
}
