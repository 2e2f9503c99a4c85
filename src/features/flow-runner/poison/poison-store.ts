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
        key === null ? null : stored(key).slice(0, MAX_KEY_CHARACTERS),
        payload(JSON.stringify(storedHeaders(message.headers)), tenantId),
        code,
        textPayload(stored(poison.error), tenantId),
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
      for (const poison of all) if (await storeOne(client, poison)) fresh.push(poison);
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

function stored(text: string): string {
  return text.replace(NUL, '\ufffd');
}

function storedHeaders(headers: Poison['message']['headers']): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [stored(name), stored(value)]));
}

function isText(value: Buffer): boolean {
  return Buffer.from(value.toString()).equals(value);
}
