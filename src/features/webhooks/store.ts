/** Webhooks of tenants, and what became of their deliveries. */
import type { Keyring } from '../../engine/keyring.ts';
import { columnsOf } from '../../store/core/columns.ts';
import type { Clients } from '../../store/core/database.ts';
import { Prisma } from '../../store/generated/client.ts';
import { sealedTexts, webhookContext } from '../../store/payloads/sealed-texts.ts';
import { DELIVERY, type DeliveryRow, LANE, toDelivery } from './delivery-row.ts';
import type { WebhookStore } from './ports.ts';

/** All but what it signs with. */
const SIGNING = { secret: true, previousSecret: true, previousSecretUntil: true } as const;
const COLUMNS = columnsOf(Prisma.WebhookScalarFieldEnum, { omit: SIGNING });

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

export function createWebhookStore({ pool, prisma }: Clients, keyring: Keyring | undefined): WebhookStore {
  const texts = sealedTexts(keyring);
  return {
    async create({ id, tenantId, url, events, description, secret, active, createdBy }, limit) {
      const sealed = texts.seal(secret, webhookContext(tenantId, id));
      const values = [id, tenantId, url, events, description, sealed, active, createdBy, limit];
      return (await pool.query(INSERT, values)).rowCount === 1;
    },
    async find(tenantId, id) {
      return (await prisma.webhook.findFirst({ where: { tenantId, id }, omit: SIGNING })) ?? undefined;
    },
    async list(tenantId, page, pageSize) {
      const where = { tenantId };
      const [items, total] = await Promise.all([
        prisma.webhook.findMany({
          where,
          omit: SIGNING,
          orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
          take: pageSize,
          skip: (page - 1) * pageSize,
        }),
        prisma.webhook.count({ where }),
      ]);
      return { items, total };
    },
    async change(tenantId, id, { url, events, description, active, secret }) {
      const { rows } = await pool.query<Prisma.WebhookGetPayload<{ omit: typeof SIGNING }>>(CHANGE, [
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
      return rows[0];
    },
    async remove(tenantId, id) {
      return (await pool.query(REMOVE, [tenantId, id])).rows.length === 1;
    },
    async deliveries(webhookId, { status, page, pageSize }) {
      const where = { webhookId, ...(status === undefined ? {} : { status }) };
      const [rows, total] = await Promise.all([
        prisma.webhookDelivery.findMany({
          where,
          omit: LANE,
          orderBy: [{ at: 'desc' }, { id: 'desc' }],
          take: pageSize,
          skip: (page - 1) * pageSize,
        }),
        prisma.webhookDelivery.count({ where }),
      ]);
      return { items: rows.map(toDelivery), total };
    },
    async addTest({ id, tenantId }, deliveryId) {
      const { rows } = await pool.query<DeliveryRow>(
        `INSERT INTO webhook_delivery AS d (id, webhook_id, tenant_id, kind) VALUES ($1, $2, $3, 'webhook.test') RETURNING ${DELIVERY}`,
        [deliveryId, id, tenantId],
      );
      return only(rows.map(toDelivery));
    },
    async again(webhookId, deliveryId) {
      const { rows } = await pool.query<DeliveryRow>(
        `UPDATE webhook_delivery d SET status = 'pending', attempts = 0, due_at = now(), ended_at = NULL
         WHERE webhook_id = $1 AND id = $2 RETURNING ${DELIVERY}`,
        [webhookId, deliveryId],
      );
      return rows[0] && toDelivery(rows[0]);
    },
  };
}

function only<T>(rows: readonly T[]): T {
  const [row] = rows;
  if (row === undefined) throw new Error('nothing was written');
  return row;
}
