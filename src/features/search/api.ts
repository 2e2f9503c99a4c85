/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { workflowSearchRoutes } from './routes.ts';
import { createWorkflowSearch } from './store.ts';

export const api = featureApi([workflowSearchRoutes], ({ pool }) => ({ search: createWorkflowSearch(pool) }));
