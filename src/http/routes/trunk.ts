/** What the trunk serves, in the order of the OpenAPI document. */
import { controlRoutes } from './control.ts';
import { controlOperationRoutes } from './control-operations.ts';
import { eventRoutes } from './events.ts';
import { executionRoutes } from './executions.ts';
import { partRoutes } from './parts.ts';
import { retryRoutes } from './retry.ts';
import { serviceRoutes } from './service.ts';
import { taskRoutes } from './tasks.ts';
import { workflowControlRoutes } from './workflow-control.ts';
import { workflowRoutes } from './workflows.ts';

export const TRUNK_ROUTES = [
  taskRoutes,
  workflowRoutes,
  controlOperationRoutes,
  workflowControlRoutes,
  executionRoutes,
  partRoutes,
  eventRoutes,
  retryRoutes,
  controlRoutes,
  serviceRoutes,
] as const;
