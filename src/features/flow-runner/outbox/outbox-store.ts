/** The outbox as its publisher sees it: one at a time, of all processes. */
import type pg from 'pg';
import type { DefinitionRef } from '../../../schemas/job.ts';
import type { Json } from '../../../schemas/json.ts';
import { inTransaction } from '../../../store/core/in-transaction.ts';
import { readText } from '../../../store/payloads/payloads.ts';
import { definitionRef } from '../../../store/runs/run-row.ts';
import { LIVE, RUN_AND_TASK } from '../../external-workers/attempt-statements.ts';
import type { MessageHeaders } from '../transport/ports.ts';

/** Any constant will do, as long as it is ours alone in the database. */
const LOCK = 7_202_643;
/** A session that has the lock and is idle for so long is closed: longer than a publication may take. */
const LOCK_TIMEOUT = '90s';
/** Dead letters are written down for so long after the last publisher was there. */
const WANTED = `interval '1 day'`;
const RENEWED = `interval '12 hours'`;
const CLOSED_AT_ONCE = 1_000;

const SUBSCRIBE = `
INSERT INTO flow_publisher AS p (name, wanted_until) VALUES ('dead letters', now() + ${WANTED})
ON CONFLICT (name) DO UPDATE SET wanted_until = EXCLUDED.wanted_until WHERE p.wanted_until < now() + ${RENEWED}`;

// A task waits while its run is paused, or as many are unanswered as may be. Of one run nothing passes what stands before it.
const WAITING = `
WITH bound AS (
  SELECT greatest(0, $2::int - count(*))::int AS free FROM (
    SELECT FROM external_task WHERE by_message AND status = 'leased' AND published_at IS NOT NULL LIMIT $2::int) unanswered
), tasks AS MATERIALIZED (
  SELECT o.id FROM flow_outbox o
  WHERE o.external_task_id IS NOT NULL AND NOT EXISTS (SELECT FROM run r WHERE r.id = o.run_id AND r.status = 'paused')
  ORDER BY o.id LIMIT (SELECT least($1::int, free) FROM bound)
), others AS MATERIALIZED (
  SELECT o.id FROM flow_outbox o
  WHERE o.external_task_id IS NULL AND NOT EXISTS (
    SELECT FROM flow_outbox b WHERE b.run_id = o.run_id AND b.id < o.id AND b.external_task_id IS NOT NULL
      AND b.id NOT IN (SELECT id FROM tasks))
  ORDER BY o.id LIMIT $1::int
)
SELECT o.id::text AS id, o.tenant_id, o.run_id, o.topic, o.key, ${readText('o.value')} AS value, o.headers, o.external_task_id,
       o.epoch, o.attempt, o.created_at
FROM flow_outbox o WHERE o.id IN (SELECT id FROM tasks UNION ALL SELECT id FROM others) ORDER BY o.id`;

// Who answers waits for this lock, and so finds it marked, however quick the answer was.
const LOCK_TASKS = `
SELECT e.id, ${LIVE} AS live FROM external_task e ${RUN_AND_TASK}
WHERE e.id = ANY ($1::text[]) AND e.status = 'leased' ORDER BY e.id FOR UPDATE OF e`;

// now() is from before anything was sent, so no work on it began earlier; what is left of its time begins after it was.
const DONE = `
WITH published AS (
  UPDATE external_task SET published_at = now(), deadline_at = clock_timestamp() + (deadline_at - created_at), deliveries = deliveries + 1
  WHERE id = ANY ($1::text[]) AND published_at IS NULL
), closed AS (
  UPDATE external_task SET status = 'closed', ended_at = now() WHERE id = ANY ($2::text[]) AND status = 'leased'
)
DELETE FROM flow_outbox WHERE id = ANY ($3::bigint[])`;

const CLOSE_UNWANTED = `
WITH unwanted AS (
  SELECT e.id FROM external_task e ${RUN_AND_TASK}
  WHERE e.by_message AND e.status = 'leased' AND e.published_at IS NOT NULL AND (${LIVE}) IS NOT TRUE
  ORDER BY e.id LIMIT ${CLOSED_AT_ONCE} FOR UPDATE OF e SKIP LOCKED
)
UPDATE external_task x SET status = 'closed', ended_at = now() FROM unwanted u WHERE x.id = u.id`;

const FAILED_TASKS = `
SELECT o.id::text AS outbox_id, r.id, r.tenant_id, r.user_id, r.correlation_id, r.workflow_id, r.workflow_version, r.inline,
       t.action_type, t.input, coalesce(t.started_at, r.created_at) AS created_at, a.error AS error, t.error AS task_error,
       e.topic, e.input AS external_input
FROM flow_outbox o JOIN run r ON r.id = o.run_id
LEFT JOIN task t ON t.run_id = o.run_id AND t.action_id = o.key
LEFT JOIN attempt a ON a.run_id = o.run_id AND a.action_id = o.key AND a.epoch = o.epoch AND a.attempt = o.attempt
LEFT JOIN external_task e ON e.run_id = o.run_id AND e.action_id = o.key AND e.epoch = o.epoch AND e.attempt = o.attempt
WHERE o.id = ANY ($1::bigint[])`;

const OLDEST = `SELECT extract(epoch FROM now() - min(created_at))::float8 AS age FROM (SELECT created_at FROM flow_outbox ORDER BY id LIMIT 1) AS oldest`;

export interface OutboxRow {
  id: string;
  tenantId: string;
  runId: string | null;
  topic: string;
  key: string;
  value: string;
  headers: MessageHeaders;
  externalTaskId: string | null;
  /** Of a dead letter: the attempt that failed. */
  failed: { epoch: number; attempt: number } | undefined;
  createdAt: Date;
}

/** What a dead letter says of its task. */
export interface FailedTask {
  run: { id: string; tenantId: string; userId: string; correlationId: string | null };
  of: DefinitionRef;
  handler: string;
  inputs: Json;
  error: Json;
  createdAt: Date;
}

export interface LockedOutbox {
  /** In their order. `maxUnanswered`: of tasks that are published. */
  waiting(limit: number, maxUnanswered: number): Promise<OutboxRow[]>;
  /** Whether their runs still want them, by their ids; those that are not in it have ended. Nobody answers them meanwhile. */
  lockTasks(ids: readonly string[]): Promise<ReadonlyMap<string, boolean>>;
  failedTasks(rows: ReadonlyArray<Pick<OutboxRow, 'id'>>): Promise<ReadonlyMap<string, FailedTask>>;
  done(published: readonly string[], closed: readonly string[], rows: readonly string[]): Promise<void>;
}

export interface OutboxStore {
  /** From now on dead letters of tasks are written down. */
  subscribe(): Promise<void>;
  /** Undefined: another process is at it. What `work` changes is committed when it resolves. */
  exclusively<T>(work: (outbox: LockedOutbox) => Promise<T>): Promise<T | undefined>;
  /** Closes what was published and nobody waits for any more. */
  closeUnwanted(): Promise<number>;
  ageSeconds(): Promise<number>;
}

interface RawRow {
  id: string;
  tenant_id: string;
  run_id: string | null;
  topic: string;
  key: string;
  value: string;
  headers: MessageHeaders;
  external_task_id: string | null;
  epoch: number | null;
  attempt: number | null;
  created_at: Date;
}

interface RawFailed {
  outbox_id: string;
  id: string;
  tenant_id: string;
  user_id: string;
  correlation_id: string | null;
  workflow_id: string | null;
  workflow_version: number | null;
  inline: DefinitionRef | null;
  action_type: string | null;
  input: Json;
  created_at: Date;
  error: Json;
  task_error: Json;
  topic: string | null;
  external_input: Json;
}

/** `pool`: of every tenant. */
export function createOutboxStore(pool: pg.Pool): OutboxStore {
  return {
    async subscribe() {
      await pool.query(SUBSCRIBE);
    },
    async exclusively(work) {
      let done: { value: Awaited<ReturnType<typeof work>> } | undefined;
      await inTransaction(pool, async (client) => {
        const { rows } = await client.query<{ mine: boolean }>('SELECT pg_try_advisory_xact_lock($1) AS mine', [LOCK]);
        if (rows[0]?.mine !== true) return false;
        await client.query(`SET LOCAL idle_in_transaction_session_timeout = '${LOCK_TIMEOUT}'`);
        done = { value: await work(lockedOutbox(client)) };
        return true;
      });
      return done?.value;
    },
    async closeUnwanted() {
      return (await pool.query(CLOSE_UNWANTED)).rowCount ?? 0;
    },
    async ageSeconds() {
      const { rows } = await pool.query<{ age: number | null }>(OLDEST);
      return Math.max(0, rows[0]?.age ?? 0);
    },
  };
}

function lockedOutbox(client: pg.PoolClient): LockedOutbox {
  return {
    async waiting(limit, maxUnanswered) {
      const { rows } = await client.query<RawRow>({
        name: 'flow-outbox-waiting',
        text: WAITING,
        values: [limit, maxUnanswered],
      });
      return rows.map(rowOf);
    },
    async lockTasks(ids) {
      if (ids.length === 0) return new Map();
      const { rows } = await client.query<{ id: string; live: boolean | null }>({
        name: 'flow-outbox-tasks',
        text: LOCK_TASKS,
        values: [ids],
      });
      return new Map(rows.map(({ id, live }) => [id, live === true]));
    },
    async failedTasks(failed) {
      if (failed.length === 0) return new Map();
      const values = [failed.map(({ id }) => id)];
      const { rows } = await client.query<RawFailed>({ name: 'flow-outbox-failed', text: FAILED_TASKS, values });
      return new Map(rows.map((row) => [row.outbox_id, failedOf(row)]));
    },
    async done(published, closed, rows) {
      await client.query({ name: 'flow-outbox-done', text: DONE, values: [published, closed, rows] });
    },
  };
}

function rowOf(row: RawRow): OutboxRow {
  const { epoch, attempt } = row;
  return {
    ...{ id: row.id, tenantId: row.tenant_id, runId: row.run_id, topic: row.topic, key: row.key, value: row.value },
    ...{ headers: row.headers, externalTaskId: row.external_task_id, createdAt: row.created_at },
    failed: epoch === null || attempt === null ? undefined : { epoch, attempt },
  };
}

function failedOf(row: RawFailed): FailedTask {
  return {
    run: { id: row.id, tenantId: row.tenant_id, userId: row.user_id, correlationId: row.correlation_id },
    of: definitionRef(row),
    handler: row.topic ?? row.action_type ?? '',
    inputs: row.topic === null ? row.input : row.external_input,
    error: row.error ?? row.task_error,
    createdAt: row.created_at,
  };
}
