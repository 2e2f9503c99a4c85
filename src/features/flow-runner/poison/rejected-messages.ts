/**
 * Messages that could not be taken in, as the dead letters list them. A retry publishes the message again, so that it comes as
 * every other does: it is written in the transaction that takes it off the list.
 */
import type pg from 'pg';
import type {
  RejectedMessage,
  RejectedMessageFilter,
  RejectedMessageStats,
  RejectedMessages,
} from '../../../engine/ports/rejected-messages.ts';
import { inTransaction } from '../../../store/core/in-transaction.ts';
import { readText } from '../../../store/payloads/payloads.ts';
import { appendToOutbox } from '../outbox/append.ts';

const OPEN = 'd.retried_at IS NULL AND d.discarded_at IS NULL';
const SHOWN = `d.id::text AS id, d.topic, d.partition, d.message_offset AS "offset", d.key, d.headers, d.code,
  ${readText('d.error')} AS error, ${readText('d.original')} AS "originalBase64", d.retryable, d.failed_at AS "failedAt"`;

const NONE: RejectedMessageStats = { failed: 0, retryable: 0, retried: 0, oldest: null, newest: null };

/** Messages of other topics of the tenant are none of ours. */
export function createRejectedMessages(pool: pg.Pool): RejectedMessages {
  return {
    async list(tenantId, filter, { limit, after }) {
      const { where, values } = conditions(tenantId, filter);
      const keyset = after === undefined ? '' : `AND ${beforeOf(after, values)}`;
      const { rows } = await pool.query<RejectedMessage>(
        `SELECT ${SHOWN} FROM flow_dead_letter d WHERE ${where} ${keyset}
         ORDER BY d.failed_at DESC, d.id DESC LIMIT $${values.push(limit)}`,
        values,
      );
      return rows;
    },
    async count(tenantId, filter) {
      const { where, values } = conditions(tenantId, filter);
      const { rows } = await pool.query<{ total: number }>(
        `SELECT count(*)::int AS total FROM flow_dead_letter d WHERE ${where}`,
        values,
      );
      return rows[0]?.total ?? 0;
    },
    async stats(tenantId) {
      const { rows } = await pool.query<RejectedMessageStats>(
        `SELECT (count(*) FILTER (WHERE ${OPEN}))::int AS failed, (count(*) FILTER (WHERE ${OPEN} AND d.retryable))::int AS retryable,
                count(d.retried_at)::int AS retried, min(d.failed_at) FILTER (WHERE ${OPEN}) AS oldest,
                max(d.failed_at) FILTER (WHERE ${OPEN}) AS newest
         FROM flow_dead_letter d WHERE d.tenant_id = $1`,
        [tenantId],
      );
      return rows[0] ?? NONE;
    },
    retry: (tenantId, filter, limit) =>
      inTransaction(pool, async (client) => {
        const { where, values } = conditions(tenantId, filter);
        const { rows } = await client.query<RejectedMessage>(
          `UPDATE flow_dead_letter d SET retried_at = now()
           WHERE d.id IN (SELECT d.id FROM flow_dead_letter d WHERE ${where} AND d.retryable
             ORDER BY d.id LIMIT $${values.push(limit)} FOR UPDATE SKIP LOCKED)
           RETURNING ${SHOWN}`,
          values,
        );
        rows.sort((one, other) => Number(one.id) - Number(other.id));
        if (rows.length > 0)
          await appendToOutbox(
            client,
            rows.map((row) => again(tenantId, row)),
          );
        return rows.length;
      }),
    async discard(tenantId, filter, limit) {
      const { where, values } = conditions(tenantId, filter);
      const { rowCount } = await pool.query(
        `UPDATE flow_dead_letter d SET discarded_at = now()
         WHERE d.id IN (SELECT d.id FROM flow_dead_letter d WHERE ${where}
           ORDER BY d.id LIMIT $${values.push(limit)} FOR UPDATE SKIP LOCKED)`,
        values,
      );
      return rowCount ?? 0;
    },
  };
}

function again(tenantId: string, { topic, key, headers, originalBase64 }: RejectedMessage) {
  const value = Buffer.from(originalBase64, 'base64').toString();
  return { tenantId, runId: undefined, topic, key: key ?? '', value, headers };
}

function conditions(tenantId: string, { ids, code, from, to }: RejectedMessageFilter) {
  const values: unknown[] = [tenantId];
  const parts = ['d.tenant_id = $1', OPEN];
  if (ids !== undefined) parts.push(`d.id = ANY ($${values.push(ids)}::bigint[])`);
  if (code !== undefined) parts.push(`d.code = $${values.push(code)}`);
  if (from !== undefined) parts.push(`d.failed_at >= $${values.push(from)}`);
  if (to !== undefined) parts.push(`d.failed_at < $${values.push(to)}`);
  return { where: parts.join(' AND '), values };
}

function beforeOf({ failedAt, id }: { failedAt: Date; id: string | undefined }, values: unknown[]): string {
  const at = `$${values.push(failedAt)}`;
  if (id === undefined) return `d.failed_at <= ${at}`;
  return `(d.failed_at, d.id) < (${at}, $${values.push(id)}::bigint)`;
}
