/**
 * Signals. A message is kept in the order of arrival; who has it is said by the row of the task that waits, which has at
 * most one. Messages and waiting tasks of one run meet under one lock, so each message goes to the first in line, and a
 * task that is delivered again, also in a later epoch, finds the message that it has.
 */
import type pg from 'pg';
import type { Json } from '../../schemas/json.ts';
import { payload } from '../../store/payloads/payloads.ts';
import type { SignalRequest, SignalResult, SignalState, SignalStore } from './inbox-ports.ts';
import {
  countWake,
  holdRun,
  lookSoon,
  persistently,
  record,
  refusalOf,
  twice,
  Unchanged,
  unlessUnchanged,
} from './inbox-store.ts';

/** Any constant will do, as long as it is ours alone among locks of two numbers. */
const INBOX_LOCK = 7_202_620;
/** Of one name, where any number may be taken. */
const MAX_KEPT = 10_000;

const LOCK = `SELECT pg_advisory_xact_lock(${INBOX_LOCK}, hashtext($1))`;

// A wait of an earlier epoch begins anew, at the end of the line, but for the message that it has.
const WAIT = `
INSERT INTO signal_wait AS w (run_id, action_id, epoch, name, deadline_at)
VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5::float8))
ON CONFLICT (run_id, action_id) DO UPDATE SET epoch = EXCLUDED.epoch, name = EXCLUDED.name, seq = EXCLUDED.seq, opened_at = now(),
  deadline_at = EXCLUDED.deadline_at, timed_out_at = NULL
WHERE w.epoch < EXCLUDED.epoch`;

const TAKE = `
UPDATE signal_wait w SET message_id = (
  SELECT m.id FROM signal_message m
  WHERE m.run_id = $1 AND m.name = $3 AND NOT EXISTS (SELECT 1 FROM signal_wait o WHERE o.message_id = m.id)
  ORDER BY m.id LIMIT 1)
WHERE w.run_id = $1 AND w.action_id = $2 AND w.message_id IS NULL AND w.timed_out_at IS NULL`;

const END_OVERDUE = `
UPDATE signal_wait SET timed_out_at = now()
WHERE run_id = $1 AND action_id = $2 AND message_id IS NULL AND timed_out_at IS NULL AND deadline_at <= now()`;

const STATE = `
SELECT w.deadline_at, w.timed_out_at, w.message_id, m.payload, (SELECT tenant_id FROM run WHERE id = $1) AS tenant_id FROM signal_wait w LEFT JOIN signal_message m ON m.id = w.message_id
WHERE w.run_id = $1 AND w.action_id = $2`;

const REPEATED = `
SELECT m.request_hash, w.action_id FROM signal_message m LEFT JOIN signal_wait w ON w.message_id = m.id
WHERE m.run_id = $1 AND m.name = $2 AND m.request_key = $3`;

const IN_LINE = `
SELECT w.action_id FROM signal_wait w
WHERE w.run_id = $1 AND w.name = $2 AND w.epoch = $3 AND w.message_id IS NULL AND w.timed_out_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM task t WHERE t.run_id = w.run_id AND t.action_id = w.action_id AND t.final)
ORDER BY w.seq`;

// Of those that are named, how many may still take one; and how many lie there for them.
const ROOM = `
SELECT (SELECT count(*) FROM unnest($4::text[]) AS k(action_id)
        LEFT JOIN task t ON t.run_id = $1 AND t.action_id = k.action_id
        LEFT JOIN signal_wait w ON w.run_id = $1 AND w.action_id = k.action_id
        WHERE NOT coalesce(t.final, false) AND w.message_id IS NULL AND NOT (w.timed_out_at IS NOT NULL AND w.epoch = $3))::int AS takers,
       (SELECT count(*) FROM signal_message m
        WHERE m.run_id = $1 AND m.name = $2 AND NOT EXISTS (SELECT 1 FROM signal_wait o WHERE o.message_id = m.id))::int AS kept`;

const SENT = 'SELECT count(*)::int AS sent FROM signal_message WHERE run_id = $1 AND name = $2';

const KEEP = `
INSERT INTO signal_message (run_id, name, payload, sent_by, request_key, request_hash)
VALUES ($1, $2, $3::jsonb, $4, $5, $6) RETURNING id`;
const GIVE = 'UPDATE signal_wait SET message_id = $3 WHERE run_id = $1 AND action_id = $2';

export function createSignalStore(pool: pg.Pool): SignalStore {
  return {
    receive({ runId, epoch, actionId }, name, timeoutSeconds) {
      return persistently(pool, async (client): Promise<SignalState> => {
        await client.query(LOCK, [runId]);
        await client.query(WAIT, [runId, actionId, epoch, name, timeoutSeconds ?? null]);
        await client.query(TAKE, [runId, actionId, name]);
        const ended = await client.query(END_OVERDUE, [runId, actionId]);
        if (ended.rowCount === 1) await record(client, { runId, epoch, actionId }, 'signal.timed_out', { name });
        const { rows } = await client.query<{
          deadline_at: Date | null;
          timed_out_at: Date | null;
          message_id: string | null;
          payload: Json;
        }>(STATE, [runId, actionId]);
        const [row] = rows;
        if (row === undefined) throw new Error(`the wait of ${runId} ${actionId} is gone`);
        if (row.message_id !== null) return { is: 'received', payload: row.payload };
        if (row.timed_out_at !== null) return { is: 'timed_out' };
        return { is: 'open', deadline: row.deadline_at ?? undefined };
      });
    },
    send: (request) => twice(() => unlessUnchanged(pool, (client) => send(client, request))),
  };
}

async function send(client: pg.PoolClient, request: SignalRequest): Promise<SignalResult> {
  const { tenantId, runId, name } = request;
  const refuse = (result: SignalResult) => new Unchanged<SignalResult>(result);
  await client.query(LOCK, [runId]);
  const seen = await client.query<{ epoch: number }>('SELECT epoch FROM run WHERE id = $1', [runId]);
  const epoch = seen.rows[0]?.epoch ?? 0;
  if (request.requestKey !== undefined) {
    const { rows } = await client.query<{ request_hash: string; action_id: string | null }>(REPEATED, [
      runId,
      name,
      request.requestKey,
    ]);
    const [before] = rows;
    if (before !== undefined && before.request_hash !== request.requestHash) throw refuse({ done: 'key_reused' });
    if (before !== undefined) throw refuse({ done: 'repeated', epoch, actionId: before.action_id ?? undefined });
  }
  // Tasks are locked before runs; what this counted is rolled back with a refusal.
  const taker = await firstInLine(client, runId, name, epoch);
  const run = await holdRun(client, tenantId, runId);
  if (run === undefined || run.epoch !== epoch) throw new RetriedMeanwhile();
  const refusal = refusalOf(run);
  if (refusal !== undefined) throw refuse(refusal);
  if (taker === undefined) await checkRoom(client, request, epoch, refuse);
  if (request.most !== undefined && (await sentSoFar(client, request)) >= request.most)
    throw refuse({ done: 'too_many' });
  const kept = await client.query<{ id: string }>(KEEP, [
    ...[runId, name, payload(request.payload, tenantId), request.by, request.requestKey ?? null, request.requestHash],
  ]);
  const id = kept.rows[0]?.id;
  if (taker !== undefined) {
    await client.query(GIVE, [runId, taker, id]);
    await lookSoon(client, runId);
  }
  await client.query('INSERT INTO event (run_id, action_id, epoch, kind, data) VALUES ($1, $2, $3, $4, $5)', [
    ...[runId, taker ?? null, epoch, 'signal.received'],
    JSON.stringify({ name, by: request.by, message: Number(id) }),
  ]);
  return { done: 'sent', epoch, actionId: taker };
}

async function firstInLine(
  client: pg.PoolClient,
  runId: string,
  name: string,
  epoch: number,
): Promise<string | undefined> {
  const { rows } = await client.query<{ action_id: string }>(IN_LINE, [runId, name, epoch]);
  // One that ends at this very moment takes nothing.
  for (const { action_id: actionId } of rows) {
    if (await countWake(client, { runId, actionId }, 'signal')) return actionId;
  }
  return undefined;
}

async function checkRoom(
  client: pg.PoolClient,
  { runId, name, takers, repeated }: SignalRequest,
  epoch: number,
  refuse: (result: SignalResult) => Error,
): Promise<void> {
  const { rows } = await client.query<{ takers: number; kept: number }>(ROOM, [runId, name, epoch, takers]);
  const { takers: left = 0, kept = 0 } = rows[0] ?? {};
  if (left === 0 || (!repeated && kept >= left)) throw refuse({ done: 'nobody_left' });
  if (kept >= MAX_KEPT) throw refuse({ done: 'too_many' });
}

async function sentSoFar(client: pg.PoolClient, { runId, name }: SignalRequest): Promise<number> {
  const { rows } = await client.query<{ sent: number }>(SENT, [runId, name]);
  return rows[0]?.sent ?? 0;
}

/** Between two readings the run was retried manually: the next try finds it as it is. */
class RetriedMeanwhile extends Error {
  readonly code = '40001';
  constructor() {
    super('the run was retried at this moment');
    this.name = 'RetriedMeanwhile';
  }
}
