/** What the sleeping tasks of a run wait for, for its view. Asked only where something sleeps. */
import type pg from 'pg';
import type { TaskWait } from '../../engine/ports/run-views.ts';
import { readText } from '../payloads/payloads.ts';

const WAITS = `
SELECT a.action_id, 'approval' AS kind, ${readText('a.message')} AS text, a.approvers, a.deadline_at, a.escalated_at IS NOT NULL AS escalated,
       a.requested_at AS since
FROM approval a WHERE a.run_id = $1 AND a.epoch = $2 AND a.open AND a.action_id = ANY ($3::text[])
UNION ALL
SELECT w.action_id, 'signal', to_jsonb(w.name), '{}', w.deadline_at, false, w.opened_at
FROM signal_wait w WHERE w.run_id = $1 AND w.epoch = $2 AND w.message_id IS NULL AND w.action_id = ANY ($3::text[])`;

interface RawWait {
  action_id: string;
  kind: 'approval' | 'signal';
  text: string | null;
  approvers: string[];
  deadline_at: Date | null;
  escalated: boolean;
  since: Date;
}

/** By action id. */
export async function waitsOf(
  pool: pg.Pool,
  run: { id: string; epoch: number },
  sleeping: readonly string[],
): Promise<ReadonlyMap<string, TaskWait>> {
  if (sleeping.length === 0) return new Map();
  const { rows } = await pool.query<RawWait>({
    name: 'read-waits',
    text: WAITS,
    values: [run.id, run.epoch, sleeping],
  });
  return new Map(rows.map((row) => [row.action_id, toWait(row)]));
}

function toWait({ kind, text, approvers, escalated, deadline_at: deadline, since }: RawWait): TaskWait {
  return kind === 'approval'
    ? { kind, message: text, approvers, deadline, escalated, since }
    : { kind, name: text ?? '', deadline, since };
}
