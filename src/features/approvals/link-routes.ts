/**
 * The links of approvals. Their token is the credential, so they need no other one, and it is masked in logs. What only
 * opens a link (a preview in a chat, a scanner of mails) uses GET, which shows a page with a form; POST decides.
 */

import type { Request, Response } from 'express';
import { z } from 'zod';
import { OrchestratorError } from '../../domain/errors.ts';
import { bodyOf } from '../../http/middleware/body.ts';
import { endpoints, nothing, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { sendPage } from '../../http/server/page.ts';
import { parse } from '../../http/server/parse.ts';
import type { Approvals } from './decide-approvals.ts';
import { decisionAnswer, linkDecisionRequest, linkView } from './schemas.ts';

const page = { 'text/html': z.string().meta({ example: '<!doctype html>' }) };

export const viewApprovalLink = operation({
  id: 'viewApprovalLink',
  permission: 'public',
  tag: 'Executions',
  method: 'get',
  path: '/approvals/{token}',
  pathExamples: { token: 'eyJydW4iOiIx.c2ln' },
  summary: 'Get the approval behind a one-time link',
  description:
    'Returns a confirmation page, or JSON, with the decision that the link would make. It changes nothing. The token is the only credential that is required.',
  query: nothing,
  answers: { 200: { description: 'The approval and the decision of the link', schema: linkView, others: page } },
  problems: ['link_over', 'not_found'],
  problemPages: [404, 410],
});

export const decideByLink = operation({
  id: 'decideByLink',
  permission: 'public',
  tag: 'Executions',
  method: 'post',
  path: '/approvals/{token}',
  pathExamples: { token: 'eyJydW4iOiIx.c2ln' },
  summary: 'Decide an approval with a one-time link',
  description: 'A link can be used once.',
  body: linkDecisionRequest,
  bodyOptional: true,
  answers: { 200: { description: 'Decided', schema: decisionAnswer, others: page } },
  problems: ['link_over', 'not_found'],
  problemPages: [404, 410],
});

interface Needs {
  approvals: Approvals;
}

export const approvalLinkRoutes = endpoints([viewApprovalLink, decideByLink], serve);

function serve(routes: Routes, { approvals }: Needs): void {
  routes.raw(viewApprovalLink, (request, response) =>
    answer(request, response, async () => {
      const { claim, message } = await approvals.viewLink(tokenOf(request));
      const verb = claim.verdict === 'approved' ? 'Approve' : 'Reject';
      return {
        title: `${verb}?`,
        lines: [message ?? `The action ${claim.actionId} asks for approval.`, `You decide as ${claim.for}.`],
        button: verb,
        json: {
          execution_id: claim.runId,
          action_id: claim.actionId,
          decision: claim.verdict,
          for: claim.for,
          message,
          expires_at: claim.expiresAt.toISOString(),
        },
      };
    }),
  );

  routes.raw(decideByLink, (request, response) =>
    answer(request, response, async () => {
      const { comment } = parse(linkDecisionRequest, bodyOf(request) ?? {});
      const { claim, decision } = await approvals.decideByLink(tokenOf(request), comment);
      return {
        title: claim.verdict === 'approved' ? 'Approved' : 'Rejected',
        lines: [`The action ${claim.actionId} is ${claim.verdict} by ${claim.for}.`],
        json: {
          execution_id: claim.runId,
          action_id: claim.actionId,
          decision: decision.verdict,
          by: decision.by,
          comment: decision.comment,
          at: decision.at.toISOString(),
        },
      };
    }),
  );
}

interface Said {
  title: string;
  lines: string[];
  /** The page with the form, which decides when it is sent. */
  button?: string;
  json: object;
}

async function answer(request: Request, response: Response, work: () => Promise<Said>): Promise<void> {
  response.setHeader('X-Robots-Tag', 'noindex');
  response.setHeader('Cache-Control', 'no-store');
  response.setHeader('Vary', 'Accept');
  const asPage = request.accepts(['json', 'html']) === 'html';
  try {
    const { title, lines, button, json } = await work();
    if (asPage) sendPage(response, 200, { title, lines, button: button === undefined ? undefined : { text: button } });
    else sendJson(response, 200, json);
  } catch (error) {
    const isTheLink = error instanceof OrchestratorError && (error.code === 'not_found' || error.code === 'link_over');
    if (!asPage || !isTheLink) throw error;
    sendPage(response, error.status, { title: 'Not open', lines: [error.message] });
  }
}

function tokenOf(request: Request): string {
  const token = request.params['token'];
  return typeof token === 'string' ? token : '';
}
