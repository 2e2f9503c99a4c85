/** Failures in groups: what fails, how often, where, and to retry all of one kind at once. */
import { z } from 'zod';
import { endpoints, notFound, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { readCursorAs, writeCursor } from '../../http/server/paging.ts';
import * as schemas from './error-group-schemas.ts';
import type { ErrorGroup, ErrorGroups, GroupDetails } from './error-groups.ts';

export const listErrorGroups = operation({
  id: 'listErrorGroups',
  permission: 'infrastructure:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/errors',
  summary: 'List error groups',
  description:
    'Failed attempts are in one group if they have the same action, the same code and the same message, apart from numbers, ids, times and quoted values. A tenant has at most 1,000 groups; further failures are counted in the group `overflow`.',
  query: schemas.errorGroupQuery,
  answers: { 200: { description: 'One page of results', schema: schemas.errorGroupList } },
});

export const getErrorGroup = operation({
  id: 'getErrorGroup',
  permission: 'infrastructure:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/errors/{fingerprint}',
  pathExamples: { fingerprint: '5f1d7c0a9b3e' },
  summary: 'Get an error group',
  description: 'Returns the group with its newest executions and its last 24 hours.',
  notFound: 'Error group not found',
  answers: { 200: { description: 'The group', schema: schemas.errorGroupDetails } },
});

export const retryErrorGroup = operation({
  id: 'retryErrorGroup',
  permission: 'infrastructure:control',
  tag: 'Infrastructure',
  method: 'post',
  path: '/errors/{fingerprint}/retry',
  pathExamples: { fingerprint: '5f1d7c0a9b3e' },
  summary: 'Retry the failed executions of an error group',
  description:
    'Retries the executions that failed with this error and are still failed. Completed tasks are not executed again. The executions that have waited longest come first, and start as the queue has capacity. Repeat the request while `executions` equals the limit.',
  body: schemas.errorGroupRetryRequest,
  bodyOptional: true,
  notFound: 'Error group not found',
  answers: {
    200: { description: 'The plan, with dry_run: what would be done', schema: schemas.errorGroupRetried },
    202: { description: 'Number of executions', schema: schemas.errorGroupRetried },
  },
});

export const resolveErrorGroup = operation({
  id: 'resolveErrorGroup',
  permission: 'infrastructure:control',
  tag: 'Infrastructure',
  method: 'post',
  path: '/errors/{fingerprint}/resolve',
  pathExamples: { fingerprint: '5f1d7c0a9b3e' },
  summary: 'Resolve an error group',
  description:
    'The group is reopened when the failure occurs again, which is reported by the event `error.regressed` and counted in `regressions`.',
  notFound: 'Error group not found',
  answers: { 200: { description: 'The group', schema: schemas.errorGroup } },
});

export const ignoreErrorGroup = operation({
  ...resolveErrorGroup,
  id: 'ignoreErrorGroup',
  path: '/errors/{fingerprint}/ignore',
  pathExamples: { fingerprint: '5f1d7c0a9b3e' },
  summary: 'Ignore an error group',
  description: 'Further failures are counted, and the group stays ignored. Resolve it to be notified again.',
});

/** The last moment that a date has; no count is greater. */
const MAX_VALUE = 8_640_000_000_000_000;
const position = z.strictObject({ v: z.int().min(0).max(MAX_VALUE), f: z.string().min(1).max(64), p: z.int().min(1) });

interface Needs {
  errorGroups: ErrorGroups;
}

export const errorGroupRoutes = endpoints(
  [listErrorGroups, getErrorGroup, retryErrorGroup, resolveErrorGroup, ignoreErrorGroup],
  serve,
);

function serve(routes: Routes, { errorGroups }: Needs): void {
  routes.serve(listErrorGroups, async ({ query, caller, response }) => {
    const { limit, sort } = query;
    const cursor = query.cursor === undefined ? undefined : readCursorAs(position, query.cursor);
    const filter = {
      state: query.state,
      workflowId: query.workflow_id,
      actionType: query.action_type,
      from: momentOf(query.from),
      to: momentOf(query.to),
    };
    const after = cursor && { value: cursor.v, fingerprint: cursor.f };
    const found = await errorGroups.list(caller.tenantId, filter, { order: sort, limit, after });
    const page = cursor?.p ?? 1;
    const last = found.more ? found.items.at(-1) : undefined;
    const sortValueOf = (group: ErrorGroup) => (sort === 'count' ? group.failedAttempts : group.lastSeen.getTime());
    sendJson(response, 200, {
      items: found.items.map(viewOf),
      page,
      page_size: limit,
      total: found.total,
      next_cursor: last === undefined ? null : writeCursor({ v: sortValueOf(last), f: last.fingerprint, p: page + 1 }),
    });
  });

  routes.serve(getErrorGroup, async ({ params, caller, response }) => {
    const found = await errorGroups.find(caller.tenantId, params['fingerprint'] ?? '');
    if (found === undefined) throw notFound('Error group not found');
    sendJson(response, 200, detailsOf(found));
  });

  routes.serve(retryErrorGroup, async ({ params, body, caller, response }) => {
    const { dry_run: dryRun, limit } = body;
    const done = await errorGroups.retry(caller, params['fingerprint'] ?? '', { dryRun, limit });
    if (done === undefined) throw notFound('Error group not found');
    sendJson(response, dryRun ? 200 : 202, { dry_run: dryRun, matched: done.matched, executions: done.runs });
  });

  for (const [op, state] of [
    [resolveErrorGroup, 'resolved'],
    [ignoreErrorGroup, 'ignored'],
  ] as const) {
    routes.serve(op, async ({ params, caller, response }) => {
      const group = await errorGroups.setState(caller, params['fingerprint'] ?? '', state);
      if (group === undefined) throw notFound('Error group not found');
      sendJson(response, 200, viewOf(group));
    });
  }
}

function viewOf(group: ErrorGroup) {
  return {
    fingerprint: group.fingerprint,
    state: group.state,
    state_by: group.stateBy,
    state_at: group.stateAt?.toISOString() ?? null,
    regressions: group.regressions,
    action_type: group.actionType,
    workflow_id: group.workflowId,
    action_id: group.actionId,
    code: group.code,
    template: group.template,
    message: group.message,
    execution_id: group.runId,
    count: group.failedAttempts,
    failed_tasks: group.failedTasks,
    executions: group.runs,
    first_seen: group.firstSeen.toISOString(),
    last_seen: group.lastSeen.toISOString(),
  };
}

function detailsOf(group: GroupDetails) {
  return {
    ...viewOf(group),
    waiting: group.waiting,
    recent_executions: group.recent.map(({ runId, status, failures, lastAt }) => ({
      execution_id: runId,
      status,
      failures,
      last_seen: lastAt.toISOString(),
    })),
    hours: group.hours.map(({ from, failures }) => ({ from: from.toISOString(), count: failures })),
  };
}

function momentOf(text: string | undefined): Date | undefined {
  return text === undefined ? undefined : new Date(text);
}
