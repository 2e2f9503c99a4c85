/**
 * Sessions: a prompt of a user, decided by a policy, answered by a model, remembered and audited, as one durable execution;
 * and several agents, which each get a directive.
 */
import type { Feature } from '../../feature.ts';
import { createIdentityClient } from '../identity/assemble.ts';
import { createPolicyClient } from '../policy/assemble.ts';
import { sessionStep } from './adapter.ts';
import type { SessionClients } from './clients.ts';
import { directiveWorkflow, maoWorkflow } from './mao-workflow.ts';
import { sessionWorkflow } from './workflow.ts';

const JOB = 'kubernetes_job';

export const sessions: Feature = sessionsWith({
  policy: ({ config, egress, log, audit }, count) =>
    createPolicyClient({ config, fetch: egress.fetch, log, audit, count, now: () => performance.now() }),
  identity: ({ config, fetch, log }) => createIdentityClient({ config, fetch, log }),
  jobType: JOB,
});

export function sessionsWith(clients: SessionClients): Feature {
  return {
    name: 'sessions',
    api: async () => (await import('./api.ts')).apiWith(clients),
    worker: async () => (await import('./worker.ts')).workerWith(clients),
    adapters: [sessionStep],
    // Where there are no jobs a session has no task for one. Its result says nothing of it either way.
    systemWorkflows: ({ kubernetes }) => [
      sessionWorkflow(kubernetes.enabled ? clients.jobType : undefined),
      directiveWorkflow,
      maoWorkflow,
    ],
  };
}
