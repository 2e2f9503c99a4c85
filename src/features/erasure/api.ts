/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { createTenantData } from './export-store.ts';
import { tenantDataRoutes } from './routes.ts';

export const api = featureApi([tenantDataRoutes], ({ everyTenant, newId, tables, clock, links }) => ({
  tenantData: createTenantData(everyTenant, newId, tables),
  clock,
  links,
}));
