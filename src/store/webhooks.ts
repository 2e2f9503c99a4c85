/** Webhooks and their deliveries. The deliveries of events are written by a trigger: docs/decisions has why. */
import type pg from 'pg';
import type { Keyring } from '../engine/keyring.ts';
import type {
  DeliveryStatus,
  DueDelivery,
  Webhook,
  WebhookDelivery,
  WebhookDeliveryStore,
  WebhookStore,
} from '../engine/webhook-ports.ts';
import type { Json } from '../schemas/json.ts';
import { type SealedTexts, sealedTexts, webhookContext } from './sealed-texts.ts';

const COLUMNS = `id, tenant_id, url, events, description, active, disabled_reason, failing_since, created_by, created_at, updated_at`;
const DELIVERY = `d.id, d.webhook_id, d.kind, d.run_id, d.action_id, d.epoch, d.attempt, d.data, d.at, d.status, d.attempts, d.due_at,
  d.last_status, d.last_error, d.ended_at`;

const INSERT = `
INSERT INTO webhook (id, tenant_id, url, events, description, secret, active, created_by)
SELECT $1, $2, $3, $4, $5, $6, $7, $8
WHERE (SELECT count(*) FROM webhook WHERE tenant_id = $2) < $9`;

// What is made active again begins with a clean slate.
const CHANGE = `
UPDATE webhook SET
  url = coalesce($3, url), events = coalesce($4::text[], events),
  description = CASE WHEN $5::boolean THEN $6 ELSE description END,
  disabled_reason = CASE WHEN $7::boolean IS NULL THEN disabled_reason END,
  failing_since = CASE WHEN $7::boolean AND NOT active THEN NULL ELSE failing_since END,
  active = coalesce($7::boolean, active),
  previous_secret = CASE WHEN $8::text IS NULL THEN previous_secret ELSE secret END,
  previous_secret_until = CASE WHEN $8::text IS NULL THEN previous_secret_until ELSE now() + make_interval(secs => $9::float8) END,
  secret = coalesce($8::text, secret), updated_at = now()
WHERE tenant_id = $1 AND id = $2 RETURNING ${COLUMNS}`;

const REMOVE = `
WITH w AS (DELETE FROM webhook WHERE tenant_id = $1 AND id = $2 RETURNING id),
d AS (DELETE FROM webhook_delivery WHERE webhook_id IN (SELECT id FROM w))
SELECT id FROM w`;

// Of each webhook on its own, so that the many that one is owed do not hide those of another.
const TAKE_DUE = `
WITH due AS MATERIALIZED (
  SELECT w.id AS webhook_id, w.url, w.secret, w.previous_secret, w.previous_secret_until, d.id
  FROM webhook w CROSS JOIN LATERAL (
    SELECT id FROM webhook_delivery
    WHERE webhook_id = w.id AND status = 'pending' AND due_at <= now()
    ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
  ) d
  WHERE w.active AND w.id <> ALL($2::text[])
), u AS (
  UPDATE webhook_delivery d SET attempts = d.attempts + 1, due_at = now() + make_interval(secs => $3::float8 / 1000)
  FROM due WHERE d.id = due.id
  RETURNING ${DELIVERY}, d.tenant_id, due.url, due.secret, CASE WHEN due.previous_secret_until > now() THEN due.previous_secret END AS previous_secret
)
SELECT u.*, r.workflow_id, r.correlation_id, r.trace_id, r.parent_span_id FROM u LEFT JOIN run r ON r.id = u.run_id ORDER BY u.at, u.id`;

const DELIVERED = `
WITH d AS (
  UPDATE webhook_delivery SET status = 'delivered', last_status = $3, last_error = NULL, ended_at = now()
  WHERE id = $1 AND attempts = $2 AND status = 'pending'
)
UPDATE webhook SET failing_since = NULL WHERE id = $4 AND failing_since IS NOT NULL`;

const FAILED = `
WITH d AS (
  UPDATE webhook_delivery SET last_status = $3, last_error = $4,
    status = CASE WHEN $5::float8 IS NULL THEN 'dead' ELSE status END,
    ended_at = CASE WHEN $5::float8 IS NULL THEN now() END,
    due_at = now() + make_interval(secs => coalesce($5::float8, 0))
  WHERE id = $1 AND attempts = $2 AND status = 'pending'
), w AS (
  SELECT id, $7::boolean OR failing_since < now() - make_interval(secs => $8::float8) AS enough FROM webhook WHERE id = $6 FOR UPDATE
)
UPDATE webhook SET failing_since = coalesce(webhook.failing_since, now()), active = webhook.active AND NOT coalesce(w.enough, false),
  disabled_reason = CASE WHEN webhook.active AND w.enough THEN $4 ELSE webhook.disabled_reason END
FROM w WHERE webhook.id = w.id RETURNING coalesce(w.enough, false) AS disabled`;

const REMOVE_OLD = `
DELETE FROM webhook_delivery WHERE id IN (
  SELECT id FROM webhook_delivery
  WHERE status <> 'pending' AND ended_at < now() - make_interval(days => $1::int)
    AND (status = 'delivered' OR ended_at < now() - make_interval(days => $2::int))
  ORDER BY ended_at LIMIT $3 FOR UPDATE SKIP LOCKED)`;

interface RawWebhook {
  id: string;
  tenant_id: string;
  url: string;
  events: string[];
  description: string | null;
  active: boolean;
  disabled_reason: string | null;
  failing_since: Date | null;
  created_by: string;
  created_at: Date;
  updated_at: Date;
}
interface RawDelivery {
  id: string;
  webhook_id: string;
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
  url: string;
  secret: string;
  previous_secret: string | null;
  workflow_id: string | null;
  correlation_id: string | null;
  tenant_id: string;
  trace_id: string | null;
  parent_span_id: string | null;
};

export function createWebhookStore(pool: pg.Pool, keyring: Keyring | undefined): WebhookStore {
  const texts = sealedTexts(keyring);
  return {
    async create({ id, tenantId, url, events, description, secret, active, createdBy }, limit) {
      const sealed = texts.seal(secret, webhookContext(tenantId, id));
      const values = [id, tenantId, url, events, description, sealed, active, createdBy, limit];
      return (await pool.query(INSERT, values)).rowCount === 1;
    },
    async find(tenantId, id) {
      const { rows } = await pool.query<RawWebhook>(`SELECT ${COLUMNS} FROM webhook WHERE tenant_id = $1 AND id = $2`, [
        tenantId,
        id,
      ]);
      return rows[0] === undefined ? undefined : toWebhook(rows[0]);
    },
    async list(tenantId, page, pageSize) {
      const [found, counted] = await Promise.all([
        pool.query<RawWebhook>(
          `SELECT ${COLUMNS} FROM webhook WHERE tenant_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2 OFFSET $3`,
          [tenantId, pageSize, (page - 1) * pageSize],
        ),
        pool.query<{ total: number }>('SELECT count(*)::int AS total FROM webhook WHERE tenant_id = $1', [tenantId]),
      ]);
      return { items: found.rows.map(toWebhook), total: counted.rows[0]?.total ?? 0 };
    },
    async change(tenantId, id, { url, events, description, active, secret }) {
      const { rows } = await pool.query<RawWebhook>(CHANGE, [
        tenantId,
        id,
        url ?? null,
        events ?? null,
        description !== undefined,
        description ?? null,
        active ?? null,
        secret === undefined ? null : texts.seal(secret.value, webhookContext(tenantId, id)),
        secret?.previousSeconds ?? null,
      ]);
      return rows[0] === undefined ? undefined : toWebhook(rows[0]);
    },
    async remove(tenantId, id) {
      return (await pool.query(REMOVE, [tenantId, id])).rows.length === 1;
    },
    async deliveries(webhookId, { status, page, pageSize }) {
      const where = 'd.webhook_id = $1 AND ($2::text IS NULL OR d.status = $2)';
      const [found, counted] = await Promise.all([
        pool.query<RawDelivery>(
          `SELECT ${DELIVERY} FROM webhook_delivery d WHERE ${where} ORDER BY d.at DESC, d.id DESC LIMIT $3 OFFSET $4`,
          [webhookId, status ?? null, pageSize, (page - 1) * pageSize],
        ),
        pool.query<{ total: number }>(`SELECT count(*)::int AS total FROM webhook_delivery d WHERE ${where}`, [
          webhookId,
          status ?? null,
        ]),
      ]);
      return { items: found.rows.map(toDelivery), total: counted.rows[0]?.total ?? 0 };
    },
    async addTest({ id, tenantId }, deliveryId) {
      const { rows } = await pool.query<RawDelivery>(
        `INSERT INTO webhook_delivery AS d (id, webhook_id, tenant_id, kind) VALUES ($1, $2, $3, 'webhook.test') RETURNING ${DELIVERY}`,
        [deliveryId, id, tenantId],
      );
      return only(rows.map(toDelivery));
    },
    async again(webhookId, deliveryId) {
      const { rows } = await pool.query<RawDelivery>(
        `UPDATE webhook_delivery d SET status = 'pending', attempts = 0, due_at = now(), ended_at = NULL
         WHERE webhook_id = $1 AND id = $2 RETURNING ${DELIVERY}`,
        [webhookId, deliveryId],
      );
      return rows[0] === undefined ? undefined : toDelivery(rows[0]);
    },
  };
}

export function createWebhookDeliveryStore(pool: pg.Pool, keyring: Keyring | undefined): WebhookDeliveryStore {
  const texts = sealedTexts(keyring);
  return {
    async takeDue(perWebhook, busy, leaseMs) {
      const { rows } = await pool.query<RawDue>({
        name: 'take-due-webhooks',
        text: TAKE_DUE,
        values: [perWebhook, busy, leaseMs],
      });
      return rows.map(
        (row): DueDelivery => ({
          ...toDelivery(row),
          url: row.url,
          ...secretsIn(row, texts),
          workflowId: row.workflow_id,
          correlationId: row.correlation_id,
          tenantId: row.tenant_id,
          traceId: row.trace_id,
          parentSpan: row.parent_span_id,
        }),
      );
    },
    async delivered({ id, attempts, webhookId }, status) {
      await pool.query({ name: 'webhook-delivered', text: DELIVERED, values: [id, attempts, status, webhookId] });
    },
    async failed({ id, attempts, webhookId }, { status, error, gone }, againAfterSeconds, disableAfterSeconds) {
      const { rows } = await pool.query<{ disabled: boolean }>({
        name: 'webhook-failed',
        text: FAILED,
        values: [id, attempts, status, error, againAfterSeconds ?? null, webhookId, gone, disableAfterSeconds],
      });
      return rows[0]?.disabled === true;
    },
    async removeOld({ delivered, dead }, limit) {
      const { rowCount } = await pool.query(REMOVE_OLD, [delivered, dead, limit]);
      return rowCount ?? 0;
    },
  };
}

/** Those of one that cannot be read must not hold up the others. */
function secretsIn(row: RawDue, texts: SealedTexts): Pick<DueDelivery, 'secrets' | 'unsignable'> {
  const stored = [row.secret, ...(row.previous_secret === null ? [] : [row.previous_secret])];
  try {
    return { secrets: stored.map((text) => texts.open(text, webhookContext(row.tenant_id, row.webhook_id))) };
  } catch (error) {
    return { secrets: [], unsignable: error instanceof Error ? error.message : String(error) };
  }
}

function only<T>(rows: readonly T[]): T {
  const [row] = rows;
  if (row === undefined) throw new Error('nothing was written');
  return row;
}

function toWebhook(raw: RawWebhook): Webhook {
  return {
    id: raw.id,
    tenantId: raw.tenant_id,
    url: raw.url,
    events: raw.events,
    description: raw.description,
    active: raw.active,
    disabledReason: raw.disabled_reason,
    failingSince: raw.failing_since,
    createdBy: raw.created_by,
    createdAt: raw.created_at,
    updatedAt: raw.updated_at,
  };
}

function toDelivery(raw: RawDelivery): WebhookDelivery {
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
