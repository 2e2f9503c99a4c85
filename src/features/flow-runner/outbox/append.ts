/** Transactional outbox: a message is a row of the transaction that decides it, and is published after its commit. */
import type pg from 'pg';
import type { OutboxMessage } from '../../../store/core/outbox.ts';
import { textPayload } from '../../../store/payloads/payloads.ts';

export type { OutboxMessage } from '../../../store/core/outbox.ts';

/** Notified when there is something to publish. */
export const OUTBOX_CHANNEL = 'flow_outbox';

const APPEND = `
WITH added AS (
  INSERT INTO flow_outbox (tenant_id, run_id, topic, key, value, headers, external_task_id)
  SELECT m.tenant_id, m.run_id, m.topic, m.key, m.value, m.headers::jsonb, m.external_task_id
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
    WITH ORDINALITY AS m(tenant_id, run_id, topic, key, value, headers, external_task_id, position)
  ORDER BY m.position
  RETURNING 1
)
SELECT pg_notify('${OUTBOX_CHANNEL}', '') FROM (SELECT FROM added LIMIT 1) AS one`;

/** `client`: of that transaction. */
export async function appendToOutbox(
  client: Pick<pg.ClientBase, 'query'>,
  messages: readonly OutboxMessage[],
): Promise<void> {
  if (messages.length === 0) return;
  await client.query({
    name: 'append-to-flow-outbox',
    text: APPEND,
    values: [
      messages.map(({ tenantId }) => tenantId),
      messages.map(({ runId }) => runId ?? null),
      messages.map(({ topic }) => topic),
      messages.map(({ key }) => key),
      messages.map(({ value, tenantId }) => textPayload(value, tenantId)),
      messages.map(({ headers }) => JSON.stringify(headers)),
      messages.map(({ externalTaskId }) => externalTaskId ?? null),
    ],
  });
}
