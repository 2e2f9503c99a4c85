/** What a worker needs to let tasks begin runs. */
import type pg from 'pg';
import { v4 as uuidv4, v7 as uuidv7 } from 'uuid';
import type { EngineCapabilities } from '../../../workers/adapter.ts';
import type { Config } from '../../config/config.ts';
import type { SystemWorkflow } from '../../domain/definition/system-workflow.ts';
import type { AcceptDeps } from '../../engine/accept/accept-run.ts';
import type { Admission } from '../../engine/accept/admit.ts';
import { createOwnIds } from '../../engine/accept/system-workflows.ts';
import { type AdmitChildrenDeps, createChildAdmission } from '../../engine/children/admit-children.ts';
import { type ChildRunRequest, childRunsOf } from '../../engine/children/child-runs.ts';
import type { ChildStore } from '../../engine/ports/children.ts';
import type { ExecutionCall } from '../../engine/ports/executor.ts';
import { persist } from '../../store/core/transient.ts';
import { createRetryStore } from '../../store/runs/reopen-run.ts';
import { createWorkflowHeads } from '../../store/runs/workflow-heads.ts';
import { acceptDefaults } from '../accept-defaults.ts';

export type SubWorkflows = (call: ExecutionCall) => NonNullable<EngineCapabilities['children']>;

export function createSubWorkflows(
  parts: Omit<AdmitChildrenDeps, 'window'> &
    Pick<AcceptDeps, 'actionTypes' | 'texts' | 'workflows'> & {
      pool: pg.Pool;
      config: Config;
      children: ChildStore;
      /** Of the service itself. */
      systemWorkflows: readonly SystemWorkflow[];
    },
): SubWorkflows {
  const { pool, config } = parts;
  const window = config.admissionWindow;
  const ownIdOf = createOwnIds(parts.systemWorkflows);
  const ways = new Map<number, Admission>();
  /** One for each depth, because each has a window of its own. */
  const wayOf = (depth: number) => {
    const known = ways.get(depth) ?? createChildAdmission({ ...parts, window }, depth, () => performance.now());
    ways.set(depth, known);
    return known;
  };
  const deps = {
    ...parts,
    workflowHead: createWorkflowHeads(pool),
    retries: createRetryStore(pool),
    defaults: acceptDefaults(config),
    // A child replaces nobody: it waits for a place, whatever the policy.
    endReplaced: async () => undefined,
    admissionAt: wayOf,
    maxDepth: config.maxRunDepth,
    newId: uuidv7,
    newTraceId: () => uuidv4().replaceAll('-', ''),
  };
  return ({ run, actionId, attempt }) => {
    const own = childRunsOf(deps, run, actionId, attempt);
    // Those of the service call each other by their aliases.
    const idOf = (wanted: ChildRunRequest) =>
      wanted.by === 'name' ? wanted.named : ownIdOf(run.tenantId, wanted.named);
    // Its attempt finds what it has started already. Elsewhere a client is answered that the database is away.
    return { start: (wanted) => persist(() => own.start({ ...wanted, named: idOf(wanted) })) };
  };
}
