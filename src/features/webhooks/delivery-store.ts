/**
 * What webhooks and callbacks are owed. Triggers write it with what it is about, in one transaction: docs/decisions has why.
 * A delivery stands in a lane, that of its webhook, or that of the tenant and host of its callback.
 */
import type pg from 'pg';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { Keyring } from '../../engine/keyring.ts';
import { type SealedTexts, sealedTexts, webhookContext } from '../../store/payloads/sealed-texts.ts';
import { type DeliveryRow, toDelivery } from './delivery-row.ts';
import type { DueDelivery, EndOfRun, WebhookDeliveryStore } from './ports.ts';
import { TAKE_DUE } from './sql/take-due.ts';

/** So many in a row that got no answer, and their host is left alone for a while; the second number is in seconds. */
const OPENS_AFTER = 5;
const FIRST_PAUSE = 5;
const LONGEST_PAUSE = 300;

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

/** A run that was started again meanwhile sends its next end. */
const END_OF_RUN = `
SELECT r.id, r.tenant_id, r.workflow_id AS "workflowId", r.workflow_version AS "workflowVersion", r.status, r.error,
  r.correlation_id AS "correlationId", r.created_at AS "createdAt", r.finished_at AS "finishedAt",
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

type Due = DeliveryRow &
  Omit<DueDelivery, keyof DeliveryRow | 'secrets' | 'unsignable'> & {
    /** Null: nothing signs a callback. */
    secret: string | null;
    previousSecret: string | null;
  };
export function createWebhookDeliveryStore(pool: pg.Pool, keyring: Keyring | undefined): WebhookDeliveryStore {
  const texts = sealedTexts(keyring);
  return {
    async takeDue({ perLane, perTenant, lanes, tenants }, leaseMs) {
      const { rows } = await pool.query<Due>({
        name: 'take-due-webhooks',
        text: TAKE_DUE,
        values: [...parallel(lanes), ...parallel(tenants), perLane, perTenant, leaseMs],
      });
      return rows.map((row): DueDelivery => {
        const { secret: _, previousSecret: __, ...due } = row;
        return { ...toDelivery(due), ...secretsOf(row, texts) };
      });
    },
    async endOf({ runId, epoch }) {
      const { rows } = await pool.query<EndOfRun>({
        name: 'end-of-run',
        text: END_OF_RUN,
        values: [runId, epoch],
      });
      return rows[0];
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

function parallel(counts: ReadonlyMap<string, number>): [string[], number[]] {
  return [[...counts.keys()], [...counts.values()]];
}

/** Those of one that cannot be read must not hold up the others. */
function secretsOf(due: Due, texts: SealedTexts): Pick<DueDelivery, 'secrets' | 'unsignable'> {
  const { webhookId, tenantId, secret, previousSecret } = due;
  if (webhookId === null) return { secrets: [] };
  const stored = [secret, previousSecret].filter((text) => text !== null);
  try {
    return { secrets: stored.map((text) => texts.open(text, webhookContext(tenantId, webhookId))) };
  } catch (error) {
    return { secrets: [], unsignable: errorMessage(error) };
  }
}
