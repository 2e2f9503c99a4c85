/** The entry of a session in the audit, and its message, in one transaction. */
import type pg from 'pg';
import { inTransaction } from '../../store/core/in-transaction.ts';
import type { Outbox } from '../../store/core/outbox.ts';
import { appendAudit, createAuditStore } from '../audit/store.ts';
import type { SessionAuditStore } from './session-audit.ts';

/** `outbox`: undefined where nothing is published. */
export function createSessionAuditStore(pool: pg.Pool, outbox: () => Outbox | undefined): SessionAuditStore {
  const { list } = createAuditStore(pool);
  return {
    list,
    write: (entry, message) =>
      inTransaction(pool, async (client) => {
        await appendAudit(client, [entry]);
        const publishing = outbox();
        await publishing?.append(client, [publishing.ofAudit(entry.tenant_id, message)]);
      }),
  };
}
