/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { approvalsOf } from './assemble.ts';
import { approvalLinkRoutes } from './link-routes.ts';
import { approvalRoutes } from './routes.ts';

export const api = featureApi([approvalRoutes, approvalLinkRoutes], (parts) => ({
  approvals: approvalsOf(parts),
  links: parts.links,
}));
