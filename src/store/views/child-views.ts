/** What the view of an execution tells of the runs that its tasks began. */
import type pg from 'pg';
import type { Definition } from '../../domain/definition/definition.ts';
import { WORKFLOW_ACTION } from '../../domain/definition/sub-workflows.ts';
import type { ChildView } from '../../engine/ports/run-views.ts';

// The newest of each task.
const CHILDREN = `
SELECT DISTINCT ON (parent_action_id) parent_action_id AS "actionId", id AS "runId", status
FROM run WHERE parent_run_id = $1 ORDER BY parent_action_id, parent_epoch DESC, parent_attempt DESC`;

/** By task. Asks only where there may be some. */
export async function childrenOf(
  pool: pg.Pool,
  runId: string,
  definition: Definition,
): Promise<ReadonlyMap<string, ChildView>> {
  if (!definition.actions.some(({ action_type }) => action_type === WORKFLOW_ACTION)) return new Map();
  const { rows } = await pool.query<ChildView & { actionId: string }>({
    name: 'children-of-run',
    text: CHILDREN,
    values: [runId],
  });
  return new Map(rows.map(({ actionId, ...child }) => [actionId, child]));
}
