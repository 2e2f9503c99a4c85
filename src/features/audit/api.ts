/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { auditOf } from './assemble.ts';
import { auditRoutes } from './routes.ts';

export const api = featureApi([auditRoutes], ({ config, everyTenant, log }) => {
  const { trail, reader, count, runUntil, close } = auditOf(config, everyTenant, log);
  return { auditLog: reader, hooks: { audit: trail, registerMetrics: count, work: runUntil, close } };
});
