/** Reads what is committed of the tasks of a worker: the look-ups of concurrent jobs go out together. */
import type pg from 'pg';
import type { TaskStatus } from '../../domain/runs/run-states.ts';
import type { Lookup, LookupRequest, RunRow, TaskRow } from '../../engine/ports/rows.ts';
import type { Json } from '../../schemas/json.ts';
import { EACH } from '../core/by-key.ts';
import { type RawRun, toRunRow } from '../runs/run-row.ts';

export const TASK_COLUMNS = `t.run_id, t.action_id, t.status, t.final, t.tolerated, t.attempt, t.ended_attempt, t.fence,
  t.deliveries, t.next_delivery, t.wake_at, t.not_before, t.wakes, t.wakes_seen,
  t.parent_id, t.released_at IS NOT NULL AS released, t.epoch AS task_epoch, t.effect_unknown`;
// One statement and so one snapshot: a run that is seen as live has rows as new as that. A run comes with each of its tasks;
// its parameters and its context, which may be large, only with the first.
const LOOK_UP = `
SELECT k.run_id AS id, r.tenant_id, r.user_id, r.workflow_id, r.workflow_version, r.inline, r.epoch, r.gen, r.status AS run_status,
  r.final AS run_final, r.priority, CASE WHEN k.first THEN r.parameters END AS parameters,
  CASE WHEN k.first THEN r.execution_context END AS execution_context, r.correlation_id, r.trace_id, r.parent_span_id, r.created_at, r.deadline_at, r.awaited,
  ${TASK_COLUMNS}, extract(epoch FROM t.finished_at)::float8 * 1000 AS finished_ms, k.first, t.item, CASE WHEN k.output THEN t.output END AS output
FROM unnest($1::text[], $2::text[], $3::bool[], $4::bool[]) AS k(run_id, action_id, output, first)
CROSS JOIN LATERAL (SELECT * FROM run WHERE id = k.run_id ${EACH}) r
LEFT JOIN LATERAL (SELECT * FROM task WHERE run_id = k.run_id AND action_id = k.action_id ${EACH}) t ON true`;

export interface RawTask {
  run_id: string;
  action_id: string;
  status: TaskStatus;
  final: boolean;
  tolerated: boolean;
  attempt: number;
  ended_attempt: number;
  fence: number;
  deliveries: number;
  next_delivery: number | null;
  wake_at: Date | null;
  not_before: Date | null;
  wakes: number;
  wakes_seen: number;
  task_epoch: number;
  effect_unknown: boolean | null;
  parent_id: string | null;
  released: boolean;
  item?: Json;
  started?: boolean;
  finished_ms?: number | null;
  output: Json;
}

/** The columns of the task are null where it has no row yet. */
type RawLookup = Omit<RawRun, 'status' | 'final'> &
  Omit<RawTask, 'run_id' | 'action_id'> & {
    run_status: RawRun['status'];
    run_final: boolean;
    first: boolean;
    action_id: string | null;
  };

export async function lookUp(
  pool: Pick<pg.ClientBase, 'query'>,
  requests: readonly LookupRequest[],
): Promise<Lookup[]> {
  const runIds: string[] = [];
  const actionIds: string[] = [];
  const withOutput: boolean[] = [];
  const first: boolean[] = [];
  // One row per task, even if several jobs of a run request it; with its output if one of them needs that.
  const requested = new Map<string, Map<string, boolean>>();
  for (const { runId, actionIds: ids, outputsOf } of requests) {
    const tasks = requested.get(runId) ?? new Map<string, boolean>();
    requested.set(runId, tasks);
    for (const id of ids) if (!tasks.has(id)) tasks.set(id, false);
    for (const id of outputsOf) tasks.set(id, true);
  }
  for (const [runId, tasks] of requested) {
    let isFirst = true;
    for (const [actionId, output] of tasks) {
      runIds.push(runId);
      actionIds.push(actionId);
      withOutput.push(output);
      first.push(isFirst);
      isFirst = false;
    }
  }
  const { rows } = await pool.query<RawLookup>({
    name: 'look-up',
    text: LOOK_UP,
    values: [runIds, actionIds, withOutput, first],
  });

  const runById = new Map<string, RunRow>();
  const tasksByRun = new Map<string, Map<string, TaskRow>>();
  for (const raw of rows) {
    if (raw.first) {
      runById.set(raw.id, toRunRow({ ...raw, status: raw.run_status, final: raw.run_final }));
    }
    if (raw.action_id === null) continue;
    const ofRun = tasksByRun.get(raw.id) ?? new Map<string, TaskRow>();
    tasksByRun.set(raw.id, ofRun);
    ofRun.set(raw.action_id, toTaskRow({ ...raw, run_id: raw.id, action_id: raw.action_id }));
  }
  return requests.map(({ runId }) => ({ run: runById.get(runId), tasks: tasksByRun.get(runId) ?? new Map() }));
}

/** Made for every task that is looked up: one literal without a spread, so that all have one shape. */
export function toTaskRow(raw: RawTask): TaskRow {
  return {
    actionId: raw.action_id,
    status: raw.status,
    final: raw.final,
    tolerated: raw.tolerated,
    attempt: raw.attempt,
    endedAttempt: raw.ended_attempt,
    epoch: raw.task_epoch,
    effectUnknown: raw.effect_unknown === true,
    fence: raw.fence,
    deliveries: raw.deliveries,
    nextDelivery: raw.next_delivery,
    wakeAt: raw.wake_at,
    notBefore: raw.not_before,
    wakes: raw.wakes,
    wakesSeen: raw.wakes_seen,
    parentId: raw.parent_id,
    released: raw.released,
    item: raw.item,
    started: raw.started,
    finishedMs: raw.finished_ms,
    output: raw.output,
  } as TaskRow; // Both columns are written from one table of states, in one statement; an output only by what completes.
}
