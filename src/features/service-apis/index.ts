/** Service APIs: the OpenAPI documents of registered services, their operations, and how they drift. */
import type { Feature } from '../../feature.ts';
import { listServices } from './list-services-adapter.ts';
import { pollOpenapi } from './poll-openapi-adapter.ts';

export const serviceApis: Feature = {
  name: 'service-apis',
  api: async () => (await import('./api.ts')).api,
  worker: async () => (await import('./worker.ts')).worker,
  adapters: [listServices, pollOpenapi],
};
