/** `kubernetes_job`: runs a container as a Job on Kubernetes. A worker waits for it, and another one goes on if that one dies. */
import { type AdapterContext, defineAdapter } from '../../../workers/adapter.ts';
import { type JobRequest, type JobResult, jobRequest, jobResult } from './schemas.ts';

export type JobContext = Pick<
  AdapterContext,
  'signal' | 'log' | 'idempotencyKey' | 'attempt' | 'heartbeat' | 'park' | 'now'
>;

declare module '../../../workers/adapter.ts' {
  interface EngineCapabilities {
    /** Has the Job of this task run. */
    kubernetesJob?(request: JobRequest, context: JobContext): Promise<JobResult>;
  }
}

export const kubernetesJob = defineAdapter({
  type: 'kubernetes_job',
  description: 'Runs a container as a Job on Kubernetes, scheduled by Volcano, and returns what it wrote.',
  config: jobRequest,
  output: jobResult,
  usesEngine: true,
  secretFields: ['env'],
  permission: 'kubernetes:run',
  async run(request, context) {
    if (context.engine?.kubernetesJob === undefined) throw new Error('Jobs are the engine’s own, and it is not here');
    return context.engine.kubernetesJob(request, context);
  },
});
