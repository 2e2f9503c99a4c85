/** What the view of an execution tells of the runs that its tasks began. */
import type pg from 'pg';
import type { Definition } from '../../domain/definition/definition.ts';
import { WORKFLOW_ACTION } from '../../domain/definition/sub-workflows.ts';
import type { RunStatus } from '../../domain/runs/run-states.ts';

export interface ChildView {
  execution_id: string;
  status: RunStatus;
}

// The newest of each task.
const CHILDREN = `
SELECT DISTINCT ON (parent_action_id) parent_action_id AS action_id, id AS execution_id, status
FROM run WHERE parent_run_id = $1 ORDER BY parent_action_id, parent_epoch DESC, parent_attempt DESC`;

/** By task. Asks only where there may be some. */
export async function childrenOf(
  pool: pg.Pool,
  runId: string,
  definition: Definition,
): Promise<ReadonlyMap<string, ChildView>> {
  if (!definition.actions.some(({ action_type }) => action_type === WORKFLOW_ACTION)) return new Map();
  const { rows } = await pool.query<ChildView & { action_id: string }>({
    name: 'children-of-run',
    text: CHILDREN,
    values: [runId],
  });
  return new Map(rows.map(({ action_id, execution_id, status }) => [action_id, { execution_id, status }]));
}
