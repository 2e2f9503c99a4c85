/**
 * What a running task reports of itself (progress, chunks of its output) as readers get it: not events of the run, which are
 * stored and numbered, but messages that come while somebody listens. A reader remembers how much of each task it has seen;
 * whoever comes late gets what the running attempts have reported so far.
 */
import type { Json } from '../../schemas/json.ts';
import type { Instant } from '../texts/iso-text.ts';

/** What the row of a task says. */
export interface TaskReportRow {
  actionId: string;
  epoch: number;
  attempt: number;
  /** One execution of the adapter; a new one starts its output again. */
  execution: string;
  percent: number | null;
  message: string | null;
  /** How many chunks there are, numbered from 1. */
  chunks: number;
  /** There was more output than is stored. */
  truncated: boolean;
  /** One more with every report. */
  version: number;
  at: Instant;
  /** The task is final. */
  over: boolean;
}

export interface LiveMessage {
  kind: 'task.progress' | 'task.output_chunk' | 'task.output_reset' | 'task.output_truncated';
  actionId: string;
  epoch: number;
  attempt: number;
  at: Instant;
  details: { [key: string]: Json };
}

export type LiveCursor = Map<
  string,
  Pick<TaskReportRow, 'execution' | 'version' | 'chunks' | 'truncated'> & { reported: string }
>;

/** Messages before and after the chunks that follow number `after` of the row's execution. */
export interface LiveStep {
  row: TaskReportRow;
  before: LiveMessage[];
  /** Undefined: there are no new ones. */
  chunksAfter: number | undefined;
  behind: LiveMessage[];
}

/**
 * What is new to a reader; the cursor is moved. `late`: this reader has only just come, and does not get what tasks reported
 * that have ended by now.
 */
export function newReports(cursor: LiveCursor, rows: readonly TaskReportRow[], late: boolean): LiveStep[] {
  const steps: LiveStep[] = [];
  for (const row of rows) {
    const seen = cursor.get(row.actionId);
    if (seen?.execution === row.execution && seen.version >= row.version) continue;
    const { execution, version, chunks, truncated } = row;
    const reported = JSON.stringify([execution, row.percent, row.message]);
    cursor.set(row.actionId, { execution, version, chunks, truncated, reported: reported });
    if (late && row.over) continue;
    const same = seen?.execution === execution ? seen : undefined;
    const step: LiveStep = { row, before: [], chunksAfter: undefined, behind: [] };
    if (same === undefined && seen !== undefined && seen.chunks > 0)
      step.before.push(messageOf(row, 'task.output_reset', {}));
    if (chunks > (same?.chunks ?? 0)) step.chunksAfter = same?.chunks ?? 0;
    if (reported !== seen?.reported && (row.percent !== null || row.message !== null)) {
      step.behind.push(messageOf(row, 'task.progress', { percent: row.percent, message: row.message }));
    }
    if (truncated && same?.truncated !== true) step.behind.push(messageOf(row, 'task.output_truncated', {}));
    if (step.before.length + step.behind.length > 0 || step.chunksAfter !== undefined) steps.push(step);
  }
  return steps;
}

export function chunkMessage(row: TaskReportRow, n: number, chunk: Json): LiveMessage {
  return messageOf(row, 'task.output_chunk', { n, chunk });
}

function messageOf(
  { actionId, epoch, attempt, at }: TaskReportRow,
  kind: LiveMessage['kind'],
  details: LiveMessage['details'],
): LiveMessage {
  return { kind, actionId, epoch, attempt, at, details };
}
