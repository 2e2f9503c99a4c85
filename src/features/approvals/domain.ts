/** Who may decide an approval, and what becomes of one that nobody decides in time. Pure. */
import type { Json } from '../../schemas/json.ts';

export type OnTimeout = 'fail' | 'approve' | 'reject' | 'escalate';
export type Verdict = 'approved' | 'rejected' | 'timed_out';

export interface OpenApproval {
  approvers: readonly string[];
  onTimeout: OnTimeout;
  escalateTo: readonly string[];
  escalated: boolean;
  /** The deadline has passed. */
  overdue: boolean;
}

export interface Deciders {
  /** Nobody named: everybody of the tenant. */
  approvers: readonly string[];
  /** Who started the run may not decide. */
  fourEyes: boolean;
  startedBy: string;
}

export function mayDecide(deciders: Deciders, userId: string): boolean {
  if (needsOtherEyes(deciders, userId)) return false;
  return deciders.approvers.length === 0 || deciders.approvers.includes(userId);
}

export function needsOtherEyes({ fourEyes, startedBy }: Deciders, userId: string): boolean {
  return fourEyes && startedBy === userId;
}

/**
 * Whether an approval, by the config of its action, is for certain approvers, so that nobody else may settle it as any action.
 * What a template will say counts as somebody.
 */
export function namesApprovers(config: Json | undefined): boolean {
  if (config === undefined || config === null) return false;
  if (typeof config !== 'object' || Array.isArray(config)) return true;
  const { approvers, escalate_to: escalateTo, four_eyes: fourEyes } = config;
  const isNobody = approvers === undefined || (Array.isArray(approvers) && approvers.length === 0);
  return !isNobody || escalateTo !== undefined || (fourEyes !== undefined && fourEyes !== false);
}

export type AtDeadline = { next: 'wait' } | { next: 'escalate' } | { next: 'end'; verdict: Verdict };

/** What is due by now. An escalation comes once: the period after it ends in a failure. */
export function atDeadline({ onTimeout, escalated, overdue }: OpenApproval): AtDeadline {
  if (!overdue) return { next: 'wait' };
  switch (onTimeout) {
    case 'approve':
      return { next: 'end', verdict: 'approved' };
    case 'reject':
      return { next: 'end', verdict: 'rejected' };
    case 'escalate':
      return escalated ? { next: 'end', verdict: 'timed_out' } : { next: 'escalate' };
    case 'fail':
      return { next: 'end', verdict: 'timed_out' };
  }
}
