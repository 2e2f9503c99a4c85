/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { createFindRun } from '../signals/inbox-store.ts';
import { createApprovals } from './decide-approvals.ts';
import { approvalLinkRoutes } from './link-routes.ts';
import { createApprovalLinks } from './links.ts';
import { approvalNotices } from './notices.ts';
import { approvalRoutes } from './routes.ts';
import { createApprovalStore } from './store.ts';

export const api = featureApi([approvalRoutes, approvalLinkRoutes], ({ config, pool, egress, links, ...parts }) => ({
  approvals: createApprovals({
    ...parts,
    findRun: createFindRun(pool),
    approvals: createApprovalStore(pool),
    links: createApprovalLinks(config.approvalLinkSecrets),
    sendLinks: approvalNotices(config, egress, parts.log),
  }),
  links,
}));
