/** What approvals and signals have in common: their transactions, the events, the wake that is counted with what wakes. */
import type pg from 'pg';
import { RECEPTIVE_RUNS } from '../../domain/runs/run-states.ts';
import type { JsonObject } from '../../schemas/json.ts';
import { inTransaction } from '../../store/core/in-transaction.ts';
import { isTransient, persist } from '../../store/core/transient.ts';
import { type RawRun, RUN_COLUMNS, toRunRow } from '../../store/runs/run-row.ts';
import { WAKE } from '../../store/tasks/task-store.ts';
import type { FindRun, InboxTask } from './inbox-ports.ts';

/** For a worker: a task does not fail because the database is away. */
export function persistently<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  return persist(() => inTransaction(pool, work));
}

/** For a client, who waits: one second try, for a deadlock or a connection that was just closed. */
export async function twice<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isTransient(error)) throw error;
    return work();
  }
}

/** Leaves a transaction that is to change nothing. */
export class Unchanged<T> extends Error {
  readonly result: T;
  constructor(result: T) {
    super('nothing changes');
    this.result = result;
  }
}

/** What throws `Unchanged` is rolled back, and answers with its result. */
export async function unlessUnchanged<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  let unchanged: { result: T } | undefined;
  const done = await inTransaction(pool, async (client): Promise<T | false> => {
    try {
      return await work(client);
    } catch (error) {
      if (!(error instanceof Unchanged)) throw error;
      unchanged = { result: error.result as T }; // Thrown by `work` alone, as its result.
      return false;
    }
  });
  if (unchanged !== undefined) return unchanged.result;
  return done as T; // False only with `unchanged`.
}

/** False: the task, or its run, has ended. Tasks are locked before runs everywhere. */
export async function countWake(client: pg.PoolClient, task: Omit<InboxTask, 'epoch'>, type: string): Promise<boolean> {
  const { rowCount } = await client.query(WAKE, [task.runId, [task.actionId], [type]]);
  return rowCount === 1;
}

export async function record(client: pg.PoolClient, task: InboxTask, kind: string, data: JsonObject): Promise<void> {
  await client.query('INSERT INTO event (run_id, action_id, epoch, kind, data) VALUES ($1, $2, $3, $4, $5)', [
    task.runId,
    task.actionId,
    task.epoch,
    kind,
    JSON.stringify(data),
  ]);
}

export interface LockedRun {
  epoch: number;
  status: string;
  final: boolean;
}

/** Until the transaction ends, so does the run not: what is accepted has come while it was live. */
export async function holdRun(client: pg.PoolClient, tenantId: string, runId: string): Promise<LockedRun | undefined> {
  const { rows } = await client.query<LockedRun>(
    'SELECT epoch, status, final FROM run WHERE id = $1 AND tenant_id = $2 FOR NO KEY UPDATE',
    [runId, tenantId],
  );
  return rows[0];
}

/** Should the waker die before the job is due, the reconciler is there in two seconds, and not in half a minute. */
export async function lookSoon(client: pg.PoolClient, runId: string): Promise<void> {
  await client.query(`UPDATE run SET check_at = least(check_at, now() + interval '2 seconds') WHERE id = $1`, [runId]);
}

const RECEPTIVE: ReadonlySet<string> = new Set(RECEPTIVE_RUNS);

/**
 * A paused run takes what is sent to it, and goes on with it when it is resumed. One that is cancelling takes nothing; of one
 * that is compensating only undoings can wait.
 */
export function refusalOf({
  status,
  final,
}: LockedRun): { done: 'run_ended' | 'run_ending'; status: string } | undefined {
  if (final) return { done: 'run_ended', status };
  return RECEPTIVE.has(status) ? undefined : { done: 'run_ending', status };
}

export function createFindRun(pool: pg.Pool): FindRun {
  return async (tenantId, runId) => {
    const { rows } = await pool.query<RawRun>({
      name: 'find-run',
      text: `SELECT ${RUN_COLUMNS} FROM run r WHERE r.id = $1 AND r.tenant_id = $2`,
      values: [runId, tenantId],
    });
    const [raw] = rows;
    return raw === undefined ? undefined : toRunRow(raw);
  };
}
