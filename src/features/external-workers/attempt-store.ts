/** Attempts of external tasks as the engine sees them: made available once, looked at by every later delivery. */
import type pg from 'pg';
import type { ExternalAttempt } from '../../engine/ports/external-attempt.ts';
import type { Outbox } from '../../store/core/outbox.ts';
import { persist } from '../../store/core/transient.ts';
import { payload } from '../../store/payloads/payloads.ts';
import type { AttemptKey, ExternalAttempts } from './ports.ts';
import { createPublishedAttempts, type RawAttempt } from './published-store.ts';

/** Its payload is the tenant and the topic, with a space between. */
export const TOPIC_CHANNEL = 'external_task';

const OPEN = `
WITH made AS (
  INSERT INTO external_task (id, run_id, action_id, epoch, attempt, tenant_id, topic, priority, input, status, deadline_at)
  SELECT gen_random_uuid()::text, r.id, $2, r.epoch, $4, r.tenant_id, $5, $6, $7::jsonb, 'available',
         now() + make_interval(secs => $8::float8 / 1000)
  FROM run r WHERE r.id = $1 AND r.epoch = $3 AND NOT r.final
  ON CONFLICT (run_id, action_id, epoch, attempt) DO NOTHING
  RETURNING status, output, error, deadline_at, tenant_id, topic
)
SELECT status, output, error, deadline_at, tenant_id, pg_notify('${TOPIC_CHANNEL}', tenant_id || ' ' || topic) FROM made`;

const LOOK = `
WITH late AS (
  UPDATE external_task SET status = 'timed_out', ended_at = now()
  WHERE run_id = $1 AND action_id = $2 AND epoch = $3 AND attempt = $4 AND status IN ('available', 'leased') AND deadline_at <= now()
  RETURNING status, output, error, deadline_at, tenant_id
)
SELECT * FROM late
UNION ALL
SELECT status, output, error, deadline_at, tenant_id FROM external_task
WHERE run_id = $1 AND action_id = $2 AND epoch = $3 AND attempt = $4 AND NOT EXISTS (SELECT 1 FROM late)`;

/** `outbox`: where messages go of those that are published. */
export function createExternalAttempts(
  pool: pg.Pool,
  outbox: () => Pick<Outbox, 'append'> | undefined = () => undefined,
): ExternalAttempts {
  const published = createPublishedAttempts(pool, outbox);
  const look = (key: AttemptKey) =>
    pool.query<RawAttempt>({
      name: 'look-at-external',
      text: LOOK,
      values: [key.runId, key.actionId, key.epoch, key.attempt],
    });
  return {
    async open({ tenantId, topic, input, priority, timeoutMs, message, ...key }) {
      if (message !== undefined) {
        const found = await published.open({ ...key, tenantId, topic, input, priority, timeoutMs, message });
        return found === undefined ? { status: 'closed' } : toAttempt(found);
      }
      const { runId, actionId, epoch, attempt } = key;
      const values = [runId, actionId, epoch, attempt, topic, priority, payload(input, tenantId), timeoutMs];
      const made = await persist(() => pool.query<RawAttempt>({ name: 'open-external', text: OPEN, values }));
      const row = made.rows[0] ?? (await persist(() => look(key))).rows[0];
      return row === undefined ? { status: 'closed' } : toAttempt(row);
    },
  };
}

function toAttempt({ status, output, error, deadline_at: deadline }: RawAttempt): ExternalAttempt {
  switch (status) {
    case 'available':
    case 'leased':
      return { status: 'open', deadline };
    case 'completed':
      return { status, output };
    case 'failed':
      return { status, ...(error ?? { code: 'adapter_failed', message: 'failed', retryable: true }) };
    case 'timed_out':
    case 'closed':
      return { status };
  }
}
