/** Who may decide an approval, and what becomes of one that nobody decides in time. Pure. */

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

/** Nobody named: everybody of the tenant. */
export function mayDecide(approvers: readonly string[], userId: string): boolean {
  return approvers.length === 0 || approvers.includes(userId);
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
