/** What cannot be read or taken of the messages that come in: dead letters, with the original beside the reason. */
import type pg from 'pg';
import { appendToOutbox } from './outbox/append.ts';
import type { IncomingMessage, PoisonCode } from './transport/ports.ts';

const NOBODYS_TENANT = 'default';

export function createPoison({ pool, topic }: { pool: pg.Pool; topic: string }) {
  return async (message: IncomingMessage, code: PoisonCode, error: string): Promise<void> => {
    const { topic: from, partition, offset, key, value, headers } = message;
    const letter = {
      ...{ error, code, topic: from, partition, offset, headers },
      original_base64: value === null ? null : value.toString('base64'),
    };
    const row = { topic, key: key ?? '', value: JSON.stringify(letter), headers: {} };
    await appendToOutbox(pool, [{ ...row, tenantId: NOBODYS_TENANT, runId: undefined }]);
  };
}
