/** Enqueues events of the past as deliveries of webhooks. */
import type pg from 'pg';
import type { Keyring } from '../../engine/keyring.ts';
import { sealedTexts, webhookContext } from '../../store/payloads/sealed-texts.ts';
import type { ReplayWebhooks } from '../webhooks/ports.ts';

const SECRETS = `
SELECT id, secret, CASE WHEN previous_secret_until > now() THEN previous_secret END AS previous_secret
FROM webhook WHERE tenant_id = $1 AND url = $2 ORDER BY created_at, id`;

// The id is made of what it is a delivery of: an attempt of the replay that is made again writes nothing twice.
const OWE = `
INSERT INTO webhook_delivery (id, webhook_id, tenant_id, kind, run_id, action_id, epoch, attempt, data, at)
SELECT md5(concat_ws('/', $4::text, w.id, e.id))::uuid::text, w.id, w.tenant_id, e.kind, e.run_id, e.action_id, e.epoch, e.attempt, e.data, e.at
FROM unnest($2::bigint[], $3::text[]) AS k(id, run_id) JOIN event e ON e.run_id = k.run_id AND e.id = k.id
JOIN webhook w ON w.tenant_id = $1 AND w.active
WHERE e.kind = ANY (w.events) OR '*' = ANY (w.events) OR split_part(e.kind, '.', 1) || '.*' = ANY (w.events)
ON CONFLICT (id) DO NOTHING`;

export function createReplayWebhooks(pool: pg.Pool, keyring: Keyring | undefined): ReplayWebhooks {
  const texts = sealedTexts(keyring);
  return {
    async secretsOf(tenantId, url) {
      const { rows } = await pool.query<{ id: string; secret: string; previous_secret: string | null }>(SECRETS, [
        tenantId,
        url,
      ]);
      return rows.flatMap(({ id, secret, previous_secret: previous }) =>
        [secret, ...(previous === null ? [] : [previous])].map((text) =>
          texts.open(text, webhookContext(tenantId, id)),
        ),
      );
    },
    async enqueue(tenantId, events, replay) {
      await pool.query(OWE, [tenantId, events.map(({ id }) => id), events.map(({ runId }) => runId), replay]);
    },
  };
}
