/** The rows of messages that could not be taken in. */
import type pg from 'pg';
import { SYSTEM_TENANT } from '../../../domain/access.ts';
import { inTransaction } from '../../../store/core/in-transaction.ts';
import { payload, textPayload } from '../../../store/payloads/payloads.ts';
import { appendToOutbox } from '../outbox/append.ts';
import { type DeadLetterLimits, poisonMessage } from './dead-letter-message.ts';
import type { Poison, StorePoison } from './ports.ts';

const STORE = `
INSERT INTO flow_dead_letter
  (tenant_id, topic, partition, message_offset, written_at, key, headers, code, error, original, bytes, retryable)
VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8, $9, $10, $11, $12)
ON CONFLICT (topic, partition, message_offset, written_at) DO NOTHING
RETURNING id`;

/** PostgreSQL has no such character. */
const NUL = /\0/g;
const MAX_KEY_CHARACTERS = 1_000;

export interface PoisonStoreDeps {
  pool: pg.Pool;
  /** Undefined: others get no message of it. */
  publish: DeadLetterLimits | undefined;
  maxBytes: number;
}

export function createStorePoison({ pool, publish, maxBytes }: PoisonStoreDeps): StorePoison {
  async function storeOne(client: pg.PoolClient, poison: Poison): Promise<boolean> {
    const { message, code, tenantId = SYSTEM_TENANT } = poison;
    const { topic, partition, offset, timestamp, key, value } = message;
    const { rows } = await client.query({
      name: 'store-flow-dead-letter',
      text: STORE,
      values: [
        ...[tenantId, topic, partition, offset, timestamp],
        key,
        payload(JSON.stringify(message.headers), tenantId),
        code,
        textPayload(poison.error, tenantId),
        textPayload(value?.toString('base64') ?? '', tenantId),
        value?.length ?? 0,
        value !== null && value.length <= maxBytes && isText(value),
      ],
    });
    return rows.length > 0;
  }

  return async (all) => {
    if (all.length === 0) return;
    await inTransaction(pool, async (client) => {
      const fresh: Poison[] = [];
      for (const poison of all.map(storable)) if (await storeOne(client, poison)) fresh.push(poison);
      if (publish === undefined || fresh.length === 0) return;
      await appendToOutbox(
        client,
        fresh.map((poison) => ({
          ...poisonMessage(poison, publish),
          tenantId: poison.tenantId ?? SYSTEM_TENANT,
          runId: undefined,
        })),
      );
    });
  };
}

/** The same in texts that can be stored; its value is stored as bytes. */
function storable({ message, error, tenantId, code }: Poison): Poison {
  const headers = Object.entries(message.headers).map(([name, value]) => [stored(name), stored(value)]);
  const key = message.key === null ? null : stored(message.key).slice(0, MAX_KEY_CHARACTERS);
  return {
    message: { ...message, key, headers: Object.fromEntries(headers) },
    ...{ code, error: stored(error), tenantId: tenantId === undefined ? undefined : stored(tenantId) },
  };
}

function stored(text: string): string {
  return text.replace(NUL, '\ufffd');
}

function isText(value: Buffer): boolean {
  return Buffer.from(value.toString()).equals(value);
}
