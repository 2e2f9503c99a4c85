/** Approvals and signals: what reaches an execution from outside while it waits. */
import type { ApprovalRow } from '../engine/inbox-ports.ts';
import * as schemas from '../schemas/approvals.ts';
import { MAX_TASK_ID_LENGTH } from '../schemas/task-id.ts';
import { hasPermission } from './authorise.ts';
import type { HttpDeps } from './deps.ts';
import { idempotencyKey } from './idempotency.ts';
import type { Links } from './links.ts';
import { operation, type Routes, sendJson } from './operation.ts';
import { pageOf } from './paging.ts';

const tag = 'Executions';
const notFound = 'Execution not found';
const path = '/workflows/executions/{execution_id}';
const headers = { 'Idempotency-Key': 'The same request with the same key is answered again and does nothing twice' };

export const approveAction = operation({
  id: 'approveAction',
  permission: 'approvals:decide',
  tag,
  method: 'post',
  path: `${path}/approve`,
  summary: 'Approves an action that waits for it',
  description:
    'The first decision counts. An execution that is paused takes it, and goes on with it once it is resumed.',
  body: schemas.decisionRequest,
  headers,
  notFound,
  answers: { 202: { description: 'Approved', schema: schemas.decisionAnswer } },
  problems: [400, 401, 403, 404, 409, 413, 415],
});

export const rejectAction = operation({
  id: 'rejectAction',
  permission: 'approvals:decide',
  tag,
  method: 'post',
  path: `${path}/reject`,
  summary: 'Rejects an action that waits for approval',
  body: schemas.decisionRequest,
  headers,
  notFound,
  answers: { 202: { description: 'Rejected', schema: schemas.decisionAnswer } },
  problems: [400, 401, 403, 404, 409, 413, 415],
});

export const sendSignal = operation({
  id: 'sendSignal',
  permission: 'executions:control',
  tag,
  method: 'post',
  path: `${path}/signals/{name}`,
  summary: 'Sends a message to an execution',
  description:
    'It goes to the action that has waited longest for this name. While none waits it is kept for the next one that does, in the order of arrival.',
  body: schemas.signalRequest,
  bodyOptional: true,
  headers,
  notFound,
  answers: { 202: { description: 'Accepted', schema: schemas.signalAnswer } },
  // A payload that takes long to check against the schema of its signal.
  problems: [400, 401, 404, 409, 413, 415, 504],
});

export const issueApprovalLinks = operation({
  id: 'issueApprovalLinks',
  permission: 'approvals:decide',
  tag,
  method: 'post',
  path: `${path}/approvals/{action_id}/links`,
  lengths: { action_id: MAX_TASK_ID_LENGTH },
  summary: 'Two links, to approve and to reject, for somebody without credentials',
  description:
    'Whoever has one decides as that user, once. To open it decides nothing: it shows a page that asks. Only who began the ' +
    'execution, or an approver, may have them made. They are sent to the approver: by mail where the user id is a mail ' +
    'address and `SMTP_URL` is set, else to `NOTIFICATION_WEBHOOK_URL`. Only the approver, or who has the permission ' +
    '`approvals:link`, gets them as the answer.',
  body: schemas.linkRequest,
  notFound,
  answers: {
    201: { description: 'The links, for the approver who asks', schema: schemas.linkAnswer },
    202: { description: 'They were sent to the approver', schema: schemas.linkSentAnswer },
  },
  problems: [400, 401, 403, 404, 409, 413, 415, 502],
});

export const listApprovals = operation({
  id: 'listApprovals',
  permission: 'executions:read',
  tag,
  method: 'get',
  path: '/approvals',
  summary: 'What waits for whose approval, newest first',
  query: schemas.approvalQuery,
  answers: { 200: { description: 'One page', schema: schemas.approvalList } },
  problems: [400, 401],
});

export function approvalRoutes(routes: Routes, { approvals, signals }: HttpDeps, links: Links): void {
  for (const [op, verdict] of [
    [approveAction, 'approved'],
    [rejectAction, 'rejected'],
  ] as const) {
    routes.serve(op, async ({ params, body, caller, request, response }) => {
      const runId = params['execution_id'] ?? '';
      const wanted = { actionId: body.action_id, verdict, comment: body.comment };
      const { decision, repeated } = await approvals.decide(caller, runId, wanted, idempotencyKey(request));
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

  routes.serve(sendSignal, async ({ params, body, caller, request, response }) => {
    const runId = params['execution_id'] ?? '';
    const name = params['name'] ?? '';
    const sent = await signals.send(caller, runId, name, body.payload ?? null, idempotencyKey(request));
    if (sent.repeated) response.setHeader('Idempotency-Replayed', 'true');
    sendJson(response, 202, { execution_id: runId, name, action_id: sent.actionId });
  });

  routes.serve(issueApprovalLinks, async ({ params, body, caller, response, signal }) => {
    const mayHave = hasPermission(response, 'approvals:link');
    const wanted = { for: body.for, expiresInSeconds: body.expires_in_seconds, mayHave };
    const [runId, actionId] = [params['execution_id'] ?? '', params['action_id'] ?? ''];
    const { tokens, sentBy, expiresAt } = await approvals.issueLinks(caller, runId, actionId, wanted, signal);
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
