/** Sub-workflows (action type `workflow`): what a definition names, what may start what, which child run serves an attempt. */
import { isDeepStrictEqual } from 'node:util';
import type { Json } from '../../schemas/json.ts';
import type { ErrorCode, FieldFault } from '../errors.ts';
import { hasTemplate } from '../templates/template-syntax.ts';
import { ownProperty } from '../templates/templates.ts';
import type { Action, Definition } from './definition.ts';

export const WORKFLOW_ACTION = 'workflow';

/** What an action names as far as its definition says it; undefined where only the run will know. */
export interface SubWorkflow {
  actionId: string;
  /** The position of the action in its definition. */
  index: number;
  by: 'workflow_id' | 'name';
  named: string;
  version: number | undefined;
}

/** Those that are named without templates. */
export function subWorkflowsOf({ actions }: Pick<Definition, 'actions'>): SubWorkflow[] {
  return actions.flatMap((action, index) => subWorkflowOf(action, index) ?? []);
}

function subWorkflowOf({ action_id: actionId, action_type, config }: Action, index: number): SubWorkflow | undefined {
  if (action_type !== WORKFLOW_ACTION) return undefined;
  for (const by of ['workflow_id', 'name'] as const) {
    const named = literal(config, by);
    if (typeof named !== 'string') continue;
    const version = literal(config, 'version');
    return { actionId, index, by, named, version: typeof version === 'number' ? version : undefined };
  }
  return undefined;
}

function literal(config: Json, field: string): Json | undefined {
  const value = ownProperty(config, field);
  return typeof value === 'string' && hasTemplate(value) ? undefined : value;
}

/** A stored workflow that a definition names, and what that one names in turn. */
export interface NamedWorkflow {
  id: string;
  name: string;
  version: number;
  names: readonly SubWorkflow[];
}

/** The stored workflow that is meant; undefined where there is none. */
export type FindWorkflow = (named: Pick<SubWorkflow, 'by' | 'named' | 'version'>) => Promise<NamedWorkflow | undefined>;

/** More than a definition that people write can lead to. */
const MAX_VISITED = 1_000;

/**
 * Why a definition cannot work for the workflows that it names: it names itself, directly or through others as they are
 * stored now, or one that there is not. `own`: the workflow that the definition is to be a version of; its id is not
 * known before it is made.
 */
export async function faultsOfSubWorkflows(
  definition: Definition,
  own: { id: string | undefined },
  find: FindWorkflow,
): Promise<FieldFault[]> {
  const isOwn = ({ by, named }: Pick<SubWorkflow, 'by' | 'named'>) =>
    by === 'workflow_id' ? named === own.id : named === definition.name;
  const faults: FieldFault[] = [];
  for (const sub of subWorkflowsOf(definition)) {
    const path = `actions.${sub.index}.config.${sub.by}`;
    if (isOwn(sub)) {
      faults.push({ path, message: `'${sub.named}' is this workflow itself, so it would never end` });
      continue;
    }
    const found = await find(sub);
    if (found === undefined) {
      const which = sub.version === undefined ? `'${sub.named}'` : `'${sub.named}' in version ${sub.version}`;
      // One that is only named may be made later.
      if (sub.by === 'workflow_id') faults.push({ path, message: `there is no workflow ${which}` });
      continue;
    }
    const way = await wayBack(found, (one) => one.id === own.id, isOwn, find);
    if (way !== undefined) {
      faults.push({ path, message: `leads back to this workflow, so it would never end: ${way.join(' -> ')}` });
    }
  }
  return faults;
}

/** The names on the shortest way from `start` to the workflow itself; undefined where there is none. */
async function wayBack(
  start: NamedWorkflow,
  isOwn: (workflow: NamedWorkflow) => boolean,
  namesOwn: (sub: SubWorkflow) => boolean,
  find: FindWorkflow,
): Promise<string[] | undefined> {
  const ways = [{ workflow: start, way: [start.name] }];
  const seen = new Set([keyOf(start)]);
  for (const { workflow, way } of ways) {
    if (isOwn(workflow)) return way;
    for (const sub of workflow.names) {
      if (namesOwn(sub)) return [...way, sub.named];
      const next = await find(sub);
      if (next === undefined || seen.has(keyOf(next)) || seen.size >= MAX_VISITED) continue;
      seen.add(keyOf(next));
      // The loop goes on with what is added here.
      ways.push({ workflow: next, way: [...way, next.name] });
    }
  }
  return undefined;
}

function keyOf({ id, version }: NamedWorkflow): string {
  return `${version} ${id}`;
}

/** A run and all above it, itself first. */
export type Lineage = ReadonlyArray<{ runId: string; workflowId: string | null; depth: number }>;

/** Why a run may not start one of this workflow; undefined: it may. */
export function rejectDescent(
  lineage: Lineage,
  workflowId: string,
  maxDepth: number,
): { code: ErrorCode; message: string } | undefined {
  const above = lineage.find((one) => one.workflowId === workflowId);
  if (above !== undefined) {
    return {
      code: 'workflow_recursion',
      message: `the workflow '${workflowId}' is the one that the execution ${above.runId} above this task is of`,
    };
  }
  const depth = (lineage[0]?.depth ?? 0) + 1;
  if (depth <= maxDepth) return undefined;
  return {
    code: 'run_too_deep',
    message: `the child would be the ${depth}th below the first; at most ${maxDepth} may`,
  };
}

/** The newest child run of a task. */
export interface ChildSoFar {
  status: string;
  final: boolean;
  epoch: number;
  attempt: number;
  awaited: boolean;
  /** The task completed with it once. */
  wasTaken: boolean;
  workflowId: string | null;
  version: number | null;
  parameters: Json;
}

/** The child run that an attempt of a task requests. */
export interface RequestedChild {
  epoch: number;
  attempt: number;
  awaited: boolean;
  workflowId: string;
  /** Undefined: any. */
  version: number | undefined;
  parameters: Json;
}

/** `same`: it is this very attempt's. `adopt`: it becomes its. `retry`: it is retried manually, and becomes its. */
export type WhichChild = 'same' | 'adopt' | 'retry' | 'new';

export function isSame(found: ChildSoFar | undefined, requested: Pick<RequestedChild, 'epoch' | 'attempt'>): boolean {
  return found !== undefined && found.epoch === requested.epoch && found.attempt === requested.attempt;
}

/**
 * Which run serves an attempt. An attempt starts a run of its own, unless the one before is still open; but a task that
 * is retried manually goes on with the run it had, when that does the same work: what completed in it stays.
 */
export function whichChild(
  found: ChildSoFar | undefined,
  requested: RequestedChild,
  retryable: readonly string[],
): WhichChild {
  if (found === undefined) return 'new';
  if (isSame(found, requested)) return 'same';
  if (!requested.awaited || !found.awaited) return 'new';
  if (found.epoch === requested.epoch) return found.final ? 'new' : 'adopt';
  const sameWork =
    found.workflowId === requested.workflowId &&
    (requested.version === undefined || requested.version === found.version) &&
    isDeepStrictEqual(found.parameters, requested.parameters);
  if (!sameWork) return 'new';
  if (!found.final) return 'adopt';
  if (retryable.includes(found.status)) return 'retry';
  // It was retried by itself and has completed; but what the task completed with is done again when it is reopened.
  return found.status === 'completed' && !found.wasTaken ? 'adopt' : 'new';
}
