/** Transactional outbox: a message is a row of the transaction that decides it, and is published after its commit. */
import type pg from 'pg';
import type { OutgoingMessage } from '../transport/ports.ts';

export interface OutboxMessage extends OutgoingMessage {
  tenantId: string;
  /** Undefined: of no run. */
  runId: string | undefined;
}

const APPEND = `
INSERT INTO flow_outbox (tenant_id, run_id, topic, key, value, headers)
SELECT m.tenant_id, m.run_id, m.topic, m.key, m.value, m.headers::jsonb
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
  WITH ORDINALITY AS m(tenant_id, run_id, topic, key, value, headers, position)
ORDER BY m.position`;

/** `client`: of that transaction. */
export async function appendToOutbox(
  client: Pick<pg.ClientBase, 'query'>,
  messages: readonly OutboxMessage[],
): Promise<void> {
  await client.query({
    name: 'append-to-flow-outbox',
    text: APPEND,
    values: [
      messages.map(({ tenantId }) => tenantId),
      messages.map(({ runId }) => runId ?? null),
      messages.map(({ topic }) => topic),
      messages.map(({ key }) => key),
      messages.map(({ value }) => value),
      messages.map(({ headers }) => JSON.stringify(headers)),
    ],
  });
}
