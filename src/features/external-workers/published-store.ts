/**
 * Attempts that go out as messages: each is made with its message in one transaction, under a lease that does not run out, so
 * that nobody leases it over HTTP. Its time limit counts from its publication; until then it has all of it before it.
 */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { Json } from '../../schemas/json.ts';
import { createBatcher } from '../../store/core/batch.ts';
import { EACH } from '../../store/core/by-key.ts';
import { inTransaction } from '../../store/core/in-transaction.ts';
import type { Outbox, OutboxMessage } from '../../store/core/outbox.ts';
import { isDataFault, untilItPasses } from '../../store/core/transient.ts';
import { payload } from '../../store/payloads/payloads.ts';
import type { AttemptKey, NewExternalAttempt } from './ports.ts';

const ATTEMPTS_PER_STATEMENT = 100;

/** How an attempt lies in the database. */
export interface RawAttempt {
  status: 'available' | 'leased' | 'completed' | 'failed' | 'timed_out' | 'closed';
  output: Json;
  /** As `answer` stores it. */
  error: { code: string; message: string; retryable: boolean } | null;
  deadline_at: Date;
}

const OPEN = `
INSERT INTO external_task (id, run_id, action_id, epoch, attempt, tenant_id, topic, priority, input, status, lease_token, by_message, deadline_at)
SELECT k.id, r.id, k.action_id, r.epoch, k.attempt, r.tenant_id, k.topic, k.priority, k.input, 'leased', k.lease_token, true,
       now() + make_interval(secs => k.timeout_ms / 1000)
FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::int[], $6::text[], $7::int[], $8::jsonb[], $9::text[], $10::float8[])
  AS k(id, run_id, action_id, epoch, attempt, topic, priority, input, lease_token, timeout_ms)
CROSS JOIN LATERAL (SELECT id, epoch, tenant_id FROM run WHERE id = k.run_id AND epoch = k.epoch AND NOT final ${EACH}) r
ORDER BY k.run_id, k.action_id
ON CONFLICT (run_id, action_id, epoch, attempt) DO NOTHING
RETURNING id, deadline_at`;

// Who ends an attempt in vain has to know whether the engine has seen it: until then a success still counts for it.
const LOOK = `
WITH k AS MATERIALIZED (
  SELECT e.id, k.n FROM unnest($1::text[], $2::text[], $3::int[], $4::int[]) WITH ORDINALITY AS k(run_id, action_id, epoch, attempt, n)
  CROSS JOIN LATERAL (
    SELECT id FROM external_task WHERE run_id = k.run_id AND action_id = k.action_id AND epoch = k.epoch AND attempt = k.attempt ${EACH}) e
), ended AS MATERIALIZED (
  SELECT e.id FROM external_task e WHERE e.id = ANY (ARRAY(SELECT id FROM k)) AND e.taken_at IS NULL AND (
    e.status IN ('failed', 'timed_out')
    OR e.status IN ('available', 'leased') AND e.deadline_at <= now() AND (NOT e.by_message OR e.published_at IS NOT NULL))
  ORDER BY e.id FOR UPDATE
), taken AS (
  UPDATE external_task e SET taken_at = now(), ended_at = coalesce(e.ended_at, now()),
    status = CASE WHEN e.status = 'failed' THEN 'failed' ELSE 'timed_out' END
  FROM ended WHERE e.id = ended.id
  RETURNING e.id, e.tenant_id, e.status, e.output, e.error, e.deadline_at
)
SELECT k.n::int AS n, t.tenant_id, t.status, t.output, t.error, t.deadline_at FROM taken t JOIN k ON k.id = t.id
UNION ALL
SELECT k.n::int, e.tenant_id, e.status, e.output, e.error,
       CASE WHEN e.by_message AND e.published_at IS NULL THEN now() + (e.deadline_at - e.created_at) ELSE e.deadline_at END
FROM external_task e JOIN k ON k.id = e.id WHERE e.id <> ALL (ARRAY(SELECT id FROM taken))`;

type PublishedAttempt = NewExternalAttempt & { message: NonNullable<NewExternalAttempt['message']> };
interface MadeAttempt extends NewExternalAttempt {
  id: string;
  leaseToken: string;
  made: OutboxMessage;
}

export function createPublishedAttempts(pool: pg.Pool, outbox: () => Pick<Outbox, 'append'> | undefined) {
  const look = createBatcher<AttemptKey & { tenantId: string }, RawAttempt | undefined>({
    maxItems: ATTEMPTS_PER_STATEMENT,
    partyOf: ({ tenantId }) => tenantId,
    flush: (keys) => lookAtAll(pool, keys),
    retryAfter: untilItPasses,
  });
  const open = createBatcher<MadeAttempt, RawAttempt | undefined>({
    maxItems: ATTEMPTS_PER_STATEMENT,
    partyOf: ({ tenantId }) => tenantId,
    flush: (attempts) => openAll(pool, attempts, outbox()),
    retryAfter: untilItPasses,
    isDataFault,
  });
  return {
    /** Undefined: its run wants it no more. */
    async open({ message, ...attempt }: PublishedAttempt): Promise<RawAttempt | undefined> {
      const found = await look(attempt);
      if (found !== undefined) return found;
      const made = { id: randomUUID(), leaseToken: randomUUID() };
      const opened = await open({ ...attempt, ...made, made: await message(made) });
      return opened ?? look(attempt);
    },
  };
}

async function lookAtAll(pool: pg.Pool, keys: readonly AttemptKey[]): Promise<Array<RawAttempt | undefined>> {
  const { rows } = await pool.query<RawAttempt & { n: number }>({
    name: 'look-at-published',
    text: LOOK,
    values: [
      keys.map(({ runId }) => runId),
      keys.map(({ actionId }) => actionId),
      keys.map(({ epoch }) => epoch),
      keys.map(({ attempt }) => attempt),
    ],
  });
  const found = new Map(rows.map((row) => [row.n, row]));
  return keys.map((_, index) => found.get(index + 1));
}

function openAll(
  pool: pg.Pool,
  attempts: readonly MadeAttempt[],
  outbox: Pick<Outbox, 'append'> | undefined,
): Promise<Array<RawAttempt | undefined>> {
  return inTransaction(pool, async (client) => {
    const { rows } = await client.query<{ id: string; deadline_at: Date }>({
      name: 'open-published',
      text: OPEN,
      values: [
        attempts.map(({ id }) => id),
        attempts.map(({ runId }) => runId),
        attempts.map(({ actionId }) => actionId),
        attempts.map(({ epoch }) => epoch),
        attempts.map(({ attempt }) => attempt),
        attempts.map(({ topic }) => topic),
        attempts.map(({ priority }) => priority),
        attempts.map(({ input, tenantId }) => payload(input, tenantId)),
        attempts.map(({ leaseToken }) => leaseToken),
        attempts.map(({ timeoutMs }) => timeoutMs),
      ],
    });
    const deadlines = new Map(rows.map((row) => [row.id, row.deadline_at]));
    await outbox?.append(
      client,
      attempts.flatMap(({ id, made }) => (deadlines.has(id) ? [made] : [])),
    );
    return attempts.map(({ id }) => {
      const deadline = deadlines.get(id);
      return deadline && { status: 'leased', output: null, error: null, deadline_at: deadline };
    });
  });
}
