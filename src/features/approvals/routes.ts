/** Approvals: who decides, and about what. */

import { hasPermission } from '../../http/middleware/authorise.ts';
import { idempotencyKey } from '../../http/server/idempotency.ts';
import type { Links } from '../../http/server/links.ts';
import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { pageOf } from '../../http/server/paging.ts';
import { MAX_TASK_ID_LENGTH } from '../../schemas/task-id.ts';
import type { ApprovalRow } from '../signals/inbox-ports.ts';
import type { Approvals } from './decide-approvals.ts';
import * as schemas from './schemas.ts';

const tag = 'Executions';
const notFound = 'Execution not found';
const path = '/workflows/executions/{execution_id}';
const headers = {
  'Idempotency-Key': 'A repeated request with the same key returns the same response and has no further effect',
};

export const approveAction = operation({
  id: 'approveAction',
  permission: 'approvals:decide',
  tag,
  method: 'post',
  path: `${path}/approve`,
  summary: 'Approve an action that waits for approval',
  description:
    'The first decision counts. A paused execution accepts the decision, and continues with it once it is resumed.',
  body: schemas.decisionRequest,
  headers,
  notFound,
  answers: { 202: { description: 'Approved', schema: schemas.decisionAnswer } },
  problems: ['already_final', 'conflict', 'not_waiting', 'already_decided'],
});

export const rejectAction = operation({
  id: 'rejectAction',
  permission: 'approvals:decide',
  tag,
  method: 'post',
  path: `${path}/reject`,
  summary: 'Reject an action that waits for approval',
  body: schemas.decisionRequest,
  headers,
  notFound,
  answers: { 202: { description: 'Rejected', schema: schemas.decisionAnswer } },
  problems: ['already_final', 'conflict', 'not_waiting', 'already_decided'],
});

export const issueApprovalLinks = operation({
  id: 'issueApprovalLinks',
  permission: 'approvals:decide',
  tag,
  method: 'post',
  path: `${path}/approvals/{action_id}/links`,
  lengths: { action_id: MAX_TASK_ID_LENGTH },
  summary: 'Create links to approve or reject without credentials',
  description:
    'Creates two one-time links, one to approve and one to reject. Whoever has a link decides as that user, once. Opening a link decides nothing: it shows a page that asks for confirmation. Only the user who started the execution, or an approver, may create links. They are sent to the approver: by mail if the user id is a mail address and `SMTP_URL` is set, otherwise to `NOTIFICATION_WEBHOOK_URL`. The response contains the links only for the approver, or for callers with the permission `approvals:link`.',
  body: schemas.linkRequest,
  notFound,
  answers: {
    201: {
      description: 'The links, if the caller is the approver or has the permission `approvals:link`',
      schema: schemas.linkAnswer,
    },
    202: { description: 'The links were sent to the approver', schema: schemas.linkSentAnswer },
  },
  problems: ['already_final', 'not_waiting', 'already_decided', 'links_not_configured', 'upstream_unavailable'],
});

export const listApprovals = operation({
  id: 'listApprovals',
  permission: 'executions:read',
  tag,
  method: 'get',
  path: '/approvals',
  summary: 'List pending approvals',
  description: 'Shows the approvals with their approvers, newest first.',
  query: schemas.approvalQuery,
  answers: { 200: { description: 'One page of results', schema: schemas.approvalList } },
});

interface Needs {
  approvals: Approvals;
  links: Links;
}

export const approvalRoutes = endpoints([approveAction, rejectAction, issueApprovalLinks, listApprovals], serve);

function serve(routes: Routes, { approvals, links }: Needs): void {
  for (const [op, verdict] of [
    [approveAction, 'approved'],
    [rejectAction, 'rejected'],
  ] as const) {
    routes.serve(op, async ({ params, body, caller, request, response }) => {
      const runId = params['execution_id'] ?? '';
      const answer = { actionId: body.action_id, verdict, comment: body.comment };
      const { decision, repeated } = await approvals.decide(caller, runId, answer, idempotencyKey(request));
      if (repeated) response.setHeader('Idempotency-Replayed', 'true');
      sendJson(response, 202, {
        execution_id: runId,
        action_id: body.action_id,
        decision: decision.verdict,
        by: decision.by,
        comment: decision.comment,
        at: decision.at.toISOString(),
      });
    });
  }

  routes.serve(issueApprovalLinks, async ({ params, body, caller, response, signal }) => {
    const mayHave = hasPermission(response, 'approvals:link');
    const options = { for: body.for, expiresInSeconds: body.expires_in_seconds, mayHave };
    const [runId, actionId] = [params['execution_id'] ?? '', params['action_id'] ?? ''];
    const { tokens, sentBy, expiresAt } = await approvals.issueLinks(caller, { runId, actionId }, options, signal);
    const about = { for: body.for, expires_at: expiresAt.toISOString() };
    if (tokens === undefined) return sendJson(response, 202, { ...about, sent_by: sentBy ?? null });
    const { approve, reject } = tokens;
    sendJson(response, 201, {
      approve: links.at(`/approvals/${approve}`),
      reject: links.at(`/approvals/${reject}`),
      ...about,
    });
  });

  routes.serve(listApprovals, async ({ query, caller, response }) => {
    const { page, page_size: pageSize, status } = query;
    const approver = query.approver === 'me' ? caller.userId : query.approver;
    const found = await approvals.list(caller, { status, approver, limit: pageSize, skip: (page - 1) * pageSize });
    sendJson(response, 200, { items: found.items.map(present), ...pageOf(page, pageSize, found.total) });
  });
}

function present(row: ApprovalRow): schemas.ApprovalView {
  return {
    execution_id: row.runId,
    action_id: row.actionId,
    message: row.message,
    approvers: row.approvers,
    four_eyes: row.fourEyes,
    requested_at: row.requestedAt.toISOString(),
    deadline: row.deadline?.toISOString() ?? null,
    escalated_at: row.escalatedAt?.toISOString() ?? null,
    status: row.decision?.verdict ?? 'pending',
    by: row.decision?.by ?? null,
    comment: row.decision?.comment ?? null,
    decided_at: row.decision?.at.toISOString() ?? null,
  };
}
