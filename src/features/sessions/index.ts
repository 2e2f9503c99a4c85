/**
 * Sessions: a prompt of a user, decided by a policy, answered by a model, remembered and audited, as one durable execution;
 * and several agents, which each get a directive.
 */
import type { Feature } from '../../feature.ts';
import { sessionStep } from './adapter.ts';
import type { SessionClients } from './clients.ts';
import { directiveWorkflow, maoWorkflow } from './mao-workflow.ts';
import { sessionWorkflow } from './workflow.ts';

export const sessions: Feature = sessionsWith({ policy: () => undefined, identity: () => undefined });

export function sessionsWith(clients: SessionClients): Feature {
  return {
    name: 'sessions',
    api: async () => (await import('./api.ts')).apiWith(clients),
    worker: async () => (await import('./worker.ts')).workerWith(clients),
    adapters: [sessionStep],
    systemWorkflows: [sessionWorkflow(clients.jobType), directiveWorkflow, maoWorkflow],
  };
}
