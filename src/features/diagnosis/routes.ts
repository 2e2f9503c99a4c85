/** Why an execution is not finished, why a lane does not move. */

import type { Cause } from '../../domain/health/why-causes.ts';
import type { LateEffectReader } from '../../engine/ports/late-effects.ts';
import { presentLateEffect } from '../../http/present/late-effects.ts';
import { endpoints, notFound, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import type { JsonObject } from '../../schemas/json.ts';
import * as schemas from '../../schemas/why.ts';
import { presentLane } from './engine-routes.ts';
import type { RunExplanation, WhyOfRuns } from './explain-run.ts';
import type { SystemProblems } from './find-problems.ts';
import type { Problem } from './system-problems.ts';

const summary = 'Explain why an execution waits, failed or is stuck';
const description =
  'Explains why an execution has not ended, or why it ended as it did, and what has to happen next. For each task that could continue, it returns the cause with its data, since when it applies, and until when if that can be predicted; `root` is the cause to examine first. It only reads, and also works while Redis or the workers are unavailable: that is a cause. Also accepts the id of a single task.';

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
  summary: 'Explain why a lane starts no tasks',
  description: 'Shows whether tasks of the action type are started, and if not, why.',
  notFound: 'Lane not found',
  answers: { 200: { description: 'The status of the lane', schema: schemas.whyOfLane } },
});

interface Needs {
  clock: { now(): Date };
  lateEffects: LateEffectReader;
  problems: SystemProblems;
  why: WhyOfRuns;
}

export const whyRoutes = endpoints([explainExecution, explainWorkflowExecution, explainLane], serve);

function serve(routes: Routes, deps: Needs): void {
  for (const op of [explainExecution, explainWorkflowExecution]) {
    routes.serve(op, async ({ params, caller, response }) => {
      const found = await deps.why.explain(caller, params['execution_id'] ?? '');
      if (found === undefined) throw notFound('Execution not found');
      const late = await deps.lateEffects.ofRun(caller.tenantId, found.runId);
      sendJson(response, 200, {
        ...viewOf(found),
        ...(late.length === 0 ? {} : { late_effects: late.map(presentLateEffect) }),
      });
    });
  }
  routes.serve(explainLane, async ({ params, caller, response }) => {
    const { problems, counts, workers, ...lane } = await deps.problems.ofLane(caller, params['action_type'] ?? '');
    const observed_at = deps.clock.now().toISOString();
    sendJson(response, 200, {
      ...lane,
      counts: counts && presentLane(counts),
      workers,
      problems: problems.map(problemView),
      observed_at,
    });
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
