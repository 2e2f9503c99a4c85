/** Approvals of an API process, put together. */
import type { ApiParts } from '../../feature.ts';
import { createFindRun } from '../signals/inbox-store.ts';
import { type Approvals, createApprovals } from './decide-approvals.ts';
import { createApprovalLinks } from './links.ts';
import { approvalNotices } from './notices.ts';
import { createApprovalStore } from './store.ts';

export function approvalsOf({ config, pool, egress, ...parts }: ApiParts): Approvals {
  return createApprovals({
    ...parts,
    findRun: createFindRun(pool),
    approvals: createApprovalStore(pool),
    links: createApprovalLinks(config.approvalLinkSecrets),
    sendLinks: approvalNotices(config, egress, parts.log),
  });
}
