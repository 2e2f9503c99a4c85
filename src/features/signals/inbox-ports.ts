/** What approvals and signals need from the store. Times are the database's. */

import type { RunRow } from '../../engine/ports/rows.ts';
import type { Json } from '../../schemas/json.ts';
import type { OnTimeout, Verdict } from '../approvals/domain.ts';

/** One task in one epoch of its run. */
export interface InboxTask {
  runId: string;
  epoch: number;
  /** `each[3]` for an item of `each`. */
  actionId: string;
}

export interface ApprovalQuestion {
  message: string | undefined;
  approvers: readonly string[];
  fourEyes: boolean;
  timeoutSeconds: number | undefined;
  onTimeout: OnTimeout;
  escalateTo: readonly string[];
}
export interface ApprovalDecision {
  verdict: Verdict;
  /** Null: nobody, it was the deadline. */
  by: string | null;
  comment: string | null;
  at: Date;
}
/** By which a link can go to its approver and to nobody else. */
export type LinkChannel = 'email' | 'webhook';

export interface ApprovalRow extends InboxTask {
  tenantId: string;
  message: string | null;
  /** Since an escalation: those whom it was escalated to. */
  approvers: string[];
  /** Who started the run may not decide. */
  fourEyes: boolean;
  startedBy: string;
  requestedAt: Date;
  deadline: Date | undefined;
  escalatedAt: Date | undefined;
  decision: ApprovalDecision | undefined;
}

export interface DecisionRequest {
  tenantId: string;
  runId: string;
  actionId: string;
  verdict: 'approved' | 'rejected';
  by: string;
  comment: string | undefined;
  via: 'request' | 'link';
  requestKey: string | undefined;
  /** Of a link: the epoch it was made for, and until when it can be used. */
  link?: { epoch: number; expiresAt: Date };
}
/** Why a decision was not taken. Whatever the reason, nothing has changed. */
export type NotDecided =
  | { done: 'run_ended' | 'run_ending'; status: string }
  | { done: 'not_waiting' }
  | { done: 'already_decided'; decision: ApprovalDecision | undefined }
  | { done: 'not_approver' }
  | { done: 'own_run' }
  | { done: 'link_over' };
export type DecisionResult =
  | { done: 'decided'; epoch: number; decision: ApprovalDecision }
  | { done: 'repeated'; epoch: number; decision: ApprovalDecision }
  | NotDecided;

export interface ApprovalFilter {
  status: 'pending' | 'decided';
  approver: string | undefined;
  limit: number;
  skip: number;
}

export interface ApprovalStore {
  /** For the task itself: requests once in an epoch, does what is due at the deadline, and returns how it stands. */
  request(task: InboxTask, tenantId: string, question: ApprovalQuestion): Promise<ApprovalRow>;
  /** Commits the decision, its event and the wake of the task at once. */
  decide(request: DecisionRequest): Promise<DecisionResult>;
  /** The newest of an action. Without a tenant: of any, for a link, which names the run. */
  find(
    tenantId: string | undefined,
    runId: string,
    actionId: string,
  ): Promise<(ApprovalRow & { now: Date }) | undefined>;
  /** `via`: how it was sent; undefined: it was returned to the caller. */
  recordLink(
    row: InboxTask,
    link: { for: string; by: string; expiresAt: Date; via: LinkChannel | undefined },
  ): Promise<void>;
  list(tenantId: string, filter: ApprovalFilter): Promise<{ items: ApprovalRow[]; total: number }>;
}

export type SignalState =
  | { is: 'open'; deadline: Date | undefined }
  | { is: 'received'; payload: Json }
  | { is: 'timed_out' };

export interface SignalRequest {
  tenantId: string;
  runId: string;
  name: string;
  /** JSON text that was checked to be storable. */
  payload: string;
  by: string;
  requestKey: string | undefined;
  requestHash: string;
  /** The actions that wait for this name. */
  takers: readonly string[];
  /** One of them may wait any number of times. */
  repeated: boolean;
  /** So many of this name there may be in all, also those that were taken. */
  most?: number | undefined;
}
export type SignalResult =
  /** `actionId`: who has it already. */
  | { done: 'sent'; epoch: number; actionId: string | undefined }
  | { done: 'repeated'; epoch: number; actionId: string | undefined }
  | { done: 'key_reused' }
  | { done: 'run_ended' | 'run_ending'; status: string }
  /** Every action of that name has its message, or has ended. */
  | { done: 'nobody_left' }
  | { done: 'too_many' };

export interface SignalStore {
  /** For the task itself: waits in line, takes what is there, ends the wait at its deadline. */
  receive(task: InboxTask, name: string, timeoutSeconds: number | undefined): Promise<SignalState>;
  /** Stores the message and gives it to the first in line, whose wake is counted in the same transaction. */
  send(request: SignalRequest): Promise<SignalResult>;
}

/** The run as it is, of this tenant. */
export type FindRun = (tenantId: string, runId: string) => Promise<RunRow | undefined>;
