/** Kubernetes jobs: an action runs a container as a Job on a cluster whose scheduler is Volcano, through kubectl. */
import type { Feature } from '../../feature.ts';
import { kubernetesJob } from './adapter.ts';

export const kubernetes: Feature = {
  name: 'kubernetes',
  api: async () => (await import('./api.ts')).api,
  worker: async () => (await import('./worker.ts')).worker,
  adapters: [kubernetesJob],
  tables: { kubernetes_job: { key: ['namespace', 'name'] } },
};
