/** The worker's part: it has Jobs run, and those that serve the lane remove what nobody wants any more. */
import { repeatUntil } from '../../engine/recover/reconcile.ts';
import type { FeatureWorker } from '../../feature.ts';
import { kubernetesJob } from './adapter.ts';
import { removeOrphans, removeUnwanted } from './clean-jobs.ts';
import { createKubectl } from './kubectl.ts';
import { namespacesOf } from './namespaces.ts';
import { runJob } from './run-job.ts';
import { createKubernetesJobs } from './store.ts';

const CLEAN_EVERY_MS = 1_000;
const ORPHANS_EVERY_MS = 60_000;

export const worker: FeatureWorker = {
  open({ config, pool, failpoint, log }) {
    const { enabled, kubectl: program, ...defaults } = config.kubernetes;
    const jobs = createKubernetesJobs(pool);
    const kubectl = createKubectl({ program, environment: config.kubectlEnvironment });
    const namespaces = namespacesOf(config);
    const { maxOutputBytes } = config;
    const deps = { enabled, defaults, namespaces, jobs, kubectl, failpoint, maxOutputBytes };
    const serves = config.workerLanes === 'all' || config.workerLanes.includes(kubernetesJob.type);
    return {
      capabilities: ({ run, actionId }) => ({
        kubernetesJob(request, context) {
          const task = { tenantId: run.tenantId, runId: run.id, epoch: run.epoch, actionId };
          return runJob(deps, task, request, context);
        },
      }),
      async work(signal) {
        if (!enabled || !serves) return;
        const clean = { jobs, kubectl, namespaces, log };
        const background = { signal, log };
        await Promise.all([
          repeatUntil(background, CLEAN_EVERY_MS, 'clean_kubernetes_jobs', () => removeUnwanted(clean, signal)),
          repeatUntil(background, ORPHANS_EVERY_MS, 'clean_kubernetes_orphans', () => removeOrphans(clean, signal)),
        ]);
      },
    };
  },
};
