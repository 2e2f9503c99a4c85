/** What is committed for the tasks that a worker holds: the look-ups of concurrent jobs go out together. */
import type pg from 'pg';
import type { Lookup, LookupRequest, RunRow, TaskRow } from '../engine/ports.ts';
import type { TaskStatus } from '../engine/use-cases.ts';
import type { Json } from '../schemas/json.ts';
import { type RawRun, RUN_COLUMNS, toRunRow } from './run-row.ts';

const RUNS = `SELECT ${RUN_COLUMNS} FROM run r WHERE r.id = ANY($1::text[])`;
export const TASK_COLUMNS = `t.run_id, t.action_id, t.status, t.final, t.tolerated, t.attempt, t.ended_attempt, t.fence,
  t.deliveries, t.next_delivery, t.wake_at`;
const TASKS = `
SELECT ${TASK_COLUMNS}, CASE WHEN k.output THEN t.output END AS output
FROM unnest($1::text[], $2::text[], $3::bool[]) AS k(run_id, action_id, output)
JOIN task t ON t.run_id = k.run_id AND t.action_id = k.action_id`;

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
  output: Json;
}

export async function lookUp(pool: pg.Pool, requests: readonly LookupRequest[]): Promise<Lookup[]> {
  const runIds: string[] = [];
  const actionIds: string[] = [];
  const withOutput: boolean[] = [];
  // One row per task, even if several jobs of a run ask for it; with its output if one of them wants that.
  const wanted = new Map<string, Map<string, boolean>>();
  for (const { runId, actionIds: ids, outputsOf } of requests) {
    const tasks = wanted.get(runId) ?? new Map<string, boolean>();
    wanted.set(runId, tasks);
    for (const id of ids) if (!tasks.has(id)) tasks.set(id, false);
    for (const id of outputsOf) tasks.set(id, true);
  }
  for (const [runId, tasks] of wanted) {
    for (const [actionId, output] of tasks) {
      runIds.push(runId);
      actionIds.push(actionId);
      withOutput.push(output);
    }
  }
  // Tasks are read after the run: a run that is seen as live has rows at least as new as that.
  const runs = await pool.query<RawRun>({ name: 'look-up-runs', text: RUNS, values: [[...wanted.keys()]] });
  const tasks = await pool.query<RawTask>({
    name: 'look-up-tasks',
    text: TASKS,
    values: [runIds, actionIds, withOutput],
  });

  const runById = new Map<string, RunRow>(runs.rows.map((raw) => [raw.id, toRunRow(raw)]));
  const tasksByRun = new Map<string, Map<string, TaskRow>>();
  for (const raw of tasks.rows) {
    const ofRun = tasksByRun.get(raw.run_id) ?? new Map<string, TaskRow>();
    tasksByRun.set(raw.run_id, ofRun);
    ofRun.set(raw.action_id, toTaskRow(raw));
  }
  return requests.map(({ runId }) => ({ run: runById.get(runId), tasks: tasksByRun.get(runId) ?? new Map() }));
}

export function toTaskRow(raw: RawTask): TaskRow {
  return {
    actionId: raw.action_id,
    status: raw.status,
    final: raw.final,
    tolerated: raw.tolerated,
    attempt: raw.attempt,
    endedAttempt: raw.ended_attempt,
    fence: raw.fence,
    deliveries: raw.deliveries,
    nextDelivery: raw.next_delivery,
    wakeAt: raw.wake_at,
    output: raw.output,
  };
}
