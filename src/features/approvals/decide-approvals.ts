/**
 * Decisions about approvals. A decision is committed together with its event and the wake of the task; making the job due
 * comes after, so after a crash in between the reconciler finds it.
 */

import { isApproval } from '../../domain/definition/signals.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import { taskJobId } from '../../domain/graph/compile.ts';
import { taskOf } from '../../domain/runs/parts.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { Plans } from '../../engine/accept/plans.ts';
import { makeDue } from '../../engine/deliver/wake-tasks.ts';
import type { Failpoint } from '../../engine/ports/failpoint.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { FlowQueue } from '../../engine/ports/queue.ts';
import type { RunRow } from '../../engine/ports/rows.ts';
import type { ActionOfRun, Caller } from '../../engine/ports/use-cases.ts';
import type {
  ApprovalDecision,
  ApprovalFilter,
  ApprovalRow,
  ApprovalStore,
  DecisionRequest,
  DecisionResult,
  FindRun,
  LinkChannel,
} from '../signals/inbox-ports.ts';
import { type Deciders, mayDecide, needsOtherEyes } from './domain.ts';
import type { ApprovalLinks, LinkClaim } from './links.ts';

export interface ApprovalDeps {
  findRun: FindRun;
  plans: Plans;
  approvals: ApprovalStore;
  /** Undefined: no secret is configured. */
  links: ApprovalLinks | undefined;
  sendLinks: SendLinks;
  queue: Pick<FlowQueue, 'promote'>;
  failpoint: Failpoint;
  log: Logger;
}

export interface DecisionAnswer {
  decision: ApprovalDecision;
  /** The same request had been made before. */
  repeated: boolean;
}

export interface IssuedLinks {
  /** Tokens, for who may have them; undefined: they were sent to the approver. */
  tokens: { approve: string; reject: string } | undefined;
  sentBy: LinkChannel | undefined;
  expiresAt: Date;
}

/** How links reach an approver. Who requests them does not see it. */
export interface SendLinks {
  /** `missing`: which settings would let links be sent. */
  channelFor(userId: string): { channel: LinkChannel } | { missing: string };
  /** Rejects when it was not taken. */
  send(
    channel: LinkChannel,
    notice: { row: ApprovalRow; for: string; approve: string; reject: string; expiresAt: Date },
    signal: AbortSignal,
  ): Promise<void>;
}

/** What a link is about, for its page. */
export interface LinkView {
  claim: LinkClaim;
  message: string | null;
  deadline: Date | undefined;
}

export interface Approvals {
  /** 404 unknown; 409 not waiting, decided, or the run has ended; 403 not an approver. */
  decide(
    caller: Caller,
    runId: string,
    decision: { actionId: string; verdict: 'approved' | 'rejected'; comment: string | undefined },
    requestKey: string | undefined,
  ): Promise<DecisionAnswer>;
  list(caller: Caller, filter: ApprovalFilter): Promise<{ items: ApprovalRow[]; total: number }>;
  /**
   * One for each verdict; whoever has one decides as that user. So they are sent to that user, unless that is the caller, or the
   * caller `mayHave` the links of others. 409 where nothing is configured to send them by, 502 when they were not taken.
   */
  issueLinks(
    caller: Caller,
    action: ActionOfRun,
    options: { for: string; expiresInSeconds: number; mayHave: boolean },
    signal: AbortSignal,
  ): Promise<IssuedLinks>;
  /** Changes nothing. 404 not one of ours, 410 used or over. */
  viewLink(token: string): Promise<LinkView>;
  decideByLink(token: string, comment: string | undefined): Promise<{ claim: LinkClaim; decision: ApprovalDecision }>;
}

export function createApprovals(deps: ApprovalDeps): Approvals {
  const { approvals, links } = deps;

  async function settle(run: { id: string }, request: DecisionRequest): Promise<DecisionAnswer> {
    const result = await approvals.decide(request);
    if (result.done !== 'decided' && result.done !== 'repeated') throw decisionError(result, request);
    await deps.failpoint('inbox.afterCommit');
    const jobId = taskJobId(run.id, result.epoch, request.actionId);
    await makeDue(deps, run.id, [{ queue: 'approval', jobId }]);
    return { decision: result.decision, repeated: result.done === 'repeated' };
  }

  async function approvalOf(caller: Caller, runId: string, actionId: string): Promise<RunRow> {
    const run = await deps.findRun(caller.tenantId, runId);
    if (run === undefined) throw new OrchestratorError('not_found', 'Execution not found');
    const plan = await deps.plans.of(run.of);
    const action = taskOf(plan, actionId)?.action;
    if (action === undefined || !isApproval(action)) throw new OrchestratorError('not_found', 'Task not found');
    return run;
  }

  function signing(): ApprovalLinks {
    if (links !== undefined) return links;
    throw new OrchestratorError('links_not_configured', 'Links are not signed here: APPROVAL_LINK_SECRET is not set');
  }

  function claimOf(token: string): LinkClaim {
    const claim = links?.read(token);
    if (claim === undefined) throw new OrchestratorError('not_found', 'There is no such link');
    return claim;
  }

  return {
    async decide(caller, runId, { actionId, verdict, comment }, requestKey) {
      const run = await approvalOf(caller, runId, actionId);
      const who = { tenantId: caller.tenantId, by: caller.userId, via: 'request' as const };
      return settle(run, { ...who, runId, actionId, verdict, comment, requestKey });
    },

    list: (caller, filter) => approvals.list(caller.tenantId, filter),

    async issueLinks(caller, { runId, actionId }, options, signal) {
      const run = await approvalOf(caller, runId, actionId);
      const signer = signing();
      const found = await approvals.find(caller.tenantId, runId, actionId);
      if (run.final) throw new OrchestratorError('already_final', `The execution has already ended: ${run.status}`);
      if (found === undefined || found.epoch !== run.epoch) throw notWaiting(actionId);
      if (found.decision !== undefined) throw decidedBefore(actionId, found.decision);
      if (!mayDecide(found, options.for)) throw notApprover(found, actionId, options.for);
      if (!options.mayHave && caller.userId !== run.userId && !found.approvers.includes(caller.userId)) {
        throw new OrchestratorError('forbidden', 'Only who began the execution, or an approver, may have links made');
      }
      // A link lets its holder decide as somebody else, so nobody else gets to see it.
      const isHanded = options.mayHave || caller.userId === options.for;
      const sending = isHanded ? undefined : deps.sendLinks.channelFor(options.for);
      if (sending !== undefined && 'missing' in sending) {
        throw new OrchestratorError(
          'links_not_configured',
          `Links go to the approver, and nothing is configured to send them by: ${sending.missing}`,
        );
      }
      const until = new Date(found.now.getTime() + options.expiresInSeconds * 1000);
      const expiresAt = found.deadline !== undefined && found.deadline < until ? found.deadline : until;
      const via = sending?.channel;
      await approvals.recordLink(found, { for: options.for, by: caller.userId, expiresAt, via });
      const claim = { runId, epoch: run.epoch, actionId, for: options.for, expiresAt };
      const tokens = {
        approve: signer.write({ ...claim, verdict: 'approved' }),
        reject: signer.write({ ...claim, verdict: 'rejected' }),
      };
      if (via === undefined) return { tokens, sentBy: undefined, expiresAt };
      try {
        await deps.sendLinks.send(via, { row: found, for: options.for, ...tokens, expiresAt }, signal);
      } catch (error) {
        deps.log.warn('approval_link_not_sent', {
          run_id: runId,
          action_id: actionId,
          via,
          error: errorMessage(error),
        });
        throw new OrchestratorError('upstream_unavailable', 'The links could not be sent; ask again', { cause: error });
      }
      return { tokens: undefined, sentBy: via, expiresAt };
    },

    async viewLink(token) {
      const claim = claimOf(token);
      const found = await approvals.find(undefined, claim.runId, claim.actionId);
      const isOver =
        found === undefined ||
        found.epoch !== claim.epoch ||
        found.decision !== undefined ||
        claim.expiresAt <= found.now ||
        !mayDecide(found, claim.for);
      if (isOver) throw linkOver();
      return { claim, message: found.message, deadline: found.deadline };
    },

    async decideByLink(token, comment) {
      const claim = claimOf(token);
      const { runId, actionId, epoch, verdict, expiresAt } = claim;
      const found = await approvals.find(undefined, runId, actionId);
      if (found === undefined) throw linkOver();
      const { decision } = await settle(
        { id: runId },
        {
          ...{ tenantId: found.tenantId, runId, actionId, verdict, comment, by: claim.for, via: 'link' },
          requestKey: undefined,
          link: { epoch, expiresAt },
        },
      );
      return { claim, decision };
    },
  };
}

function decisionError(
  result: Exclude<DecisionResult, { done: 'decided' | 'repeated' }>,
  { actionId, by, link }: DecisionRequest,
): OrchestratorError {
  // One that was used is over as one is whose time is over; what became of the approval is not its holder's to know.
  if (link !== undefined) return linkOver();
  switch (result.done) {
    case 'run_ended':
      return new OrchestratorError('already_final', `The execution has already ended: ${result.status}`);
    case 'run_ending':
      return new OrchestratorError('conflict', `The execution is ${result.status}`);
    case 'not_waiting':
      return notWaiting(actionId);
    case 'already_decided':
      return decidedBefore(actionId, result.decision);
    case 'not_approver':
      return notApprover(undefined, actionId, by);
    case 'own_run':
      return ownRun(actionId, by);
    case 'link_over':
      return linkOver();
  }
}

function notApprover(found: Deciders | undefined, actionId: string, userId: string): OrchestratorError {
  if (found !== undefined && needsOtherEyes(found, userId)) return ownRun(actionId, userId);
  return new OrchestratorError('forbidden', `'${userId}' is not one of the approvers of '${actionId}'`);
}

function ownRun(actionId: string, userId: string): OrchestratorError {
  const detail = `'${userId}' has begun this execution, and '${actionId}' is for somebody else to decide (four_eyes)`;
  return new OrchestratorError('forbidden', detail);
}

function notWaiting(actionId: string): OrchestratorError {
  return new OrchestratorError('not_waiting', `The action '${actionId}' does not ask yet: there is nothing to decide`);
}

function decidedBefore(actionId: string, decision: ApprovalDecision | undefined): OrchestratorError {
  const what =
    decision === undefined
      ? 'has ended without a decision'
      : decision.by === null
        ? `was decided by its deadline: ${decision.verdict}`
        : `is ${decision.verdict} by '${decision.by}' already`;
  return new OrchestratorError('already_decided', `The action '${actionId}' ${what}`);
}

function linkOver(): OrchestratorError {
  return new OrchestratorError('link_over', 'This link was used, or its time is over');
}
