/** Why an execution is not finished, why a lane does not move. */
import type { Problem } from '../domain/system-problems.ts';
import type { Cause } from '../domain/why-causes.ts';
import type { RunExplanation } from '../engine/why.ts';
import type { JsonObject } from '../schemas/json.ts';
import * as schemas from '../schemas/why.ts';
import type { HttpDeps } from './deps.ts';
import { notFound, operation, type Routes, sendJson } from './operation.ts';

const summary = 'Why an execution is not finished, or why it ended as it did: the cause, and what must happen';
const description =
  'Of each task that could go on the cause, with its data, since when, and until when where that can be told; `root` is what to look ' +
  'at first. Reads only, and answers also when Redis or the workers are away: that is a cause. Takes the id of a single task too.';

export const explainExecution = operation({
  id: 'explainExecution',
  tag: 'Executions',
  method: 'get',
  path: '/executions/{execution_id}/why',
  permission: 'executions:read',
  summary,
  description,
  notFound: 'Execution not found',
  answers: { 200: { description: 'The causes', schema: schemas.whyOfRun } },
  problems: [401, 404],
});

export const explainWorkflowExecution = operation({
  ...explainExecution,
  id: 'explainWorkflowExecution',
  path: '/workflows/executions/{execution_id}/why',
});

export const explainLane = operation({
  id: 'explainLane',
  tag: 'Infrastructure',
  method: 'get',
  path: '/lanes/{action_type}/why',
  permission: 'system:read',
  summary: 'Whether the tasks of an action type are begun, and if not, why',
  notFound: 'Lane not found',
  answers: { 200: { description: 'How it stands', schema: schemas.whyOfLane } },
  problems: [401, 404],
});

export function whyRoutes(routes: Routes, deps: Pick<HttpDeps, 'why' | 'problems' | 'clock' | 'lateEffects'>): void {
  for (const op of [explainExecution, explainWorkflowExecution]) {
    routes.serve(op, async ({ params, caller, response }) => {
      const found = await deps.why.explain(caller, params['execution_id'] ?? '');
      if (found === undefined) throw notFound('Execution not found');
      const late = await deps.lateEffects.ofRun(caller.tenantId, found.runId);
      sendJson(response, 200, { ...viewOf(found), ...(late.length === 0 ? {} : { late_effects: late }) });
    });
  }
  routes.serve(explainLane, async ({ params, caller, response }) => {
    const { problems, ...lane } = await deps.problems.ofLane(caller, params['action_type'] ?? '');
    const observed_at = deps.clock.now().toISOString();
    sendJson(response, 200, { ...lane, problems: problems.map(problemView), observed_at });
  });
}

export function problemView({ code, message, since, todo }: Problem): schemas.SystemProblem {
  return { code, message, ...(since === undefined ? {} : { since: iso(since) }), what_to_do: todo };
}

function viewOf({ runId, status, finished, summary: words, root, tasks, more, now }: RunExplanation): JsonObject {
  return {
    execution_id: runId,
    status,
    finished,
    summary: words,
    root: detailsOf(root),
    tasks: tasks.map(({ actionId, actionType, status: of, cause, also }) => ({
      action_id: actionId,
      action_type: actionType,
      status: of,
      ...detailsOf(cause),
      also: also.map(causeView),
    })),
    more_tasks: more,
    observed_at: iso(now),
  };
}

function detailsOf(cause: Cause): JsonObject {
  return {
    cause: causeView(cause),
    since: cause.since === undefined ? null : iso(cause.since),
    expected_at: cause.until === undefined ? null : iso(cause.until),
    what_must_happen: cause.todo,
  };
}

function causeView({ code, message, data, times, child }: Cause): JsonObject {
  const at = Object.entries(times ?? {}).map(([name, time]) => [name, time === undefined ? null : iso(time)]);
  // Of the run below its root, which may be a run below that.
  const below = child === undefined ? {} : { child: { summary: child.summary, root: detailsOf(child.root) } };
  return { ...data, ...Object.fromEntries(at), ...below, code, message };
}

function iso(time: number): string {
  return new Date(time).toISOString();
}
