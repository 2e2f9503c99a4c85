/** What a worker has of it: the steps of sessions. */
import { randomUUID } from 'node:crypto';
import { isSystemId } from '../../domain/definition/system-workflow.ts';
import type { FeatureWorker } from '../../feature.ts';
import type { SessionClients } from './clients.ts';
import { stepsOfSession } from './steps.ts';

export function workerWith(_clients: SessionClients): FeatureWorker {
  return {
    open() {
      const steps = stepsOfSession({ newId: randomUUID });
      return {
        capabilities: ({ run }) =>
          'workflow_id' in run.of && isSystemId(run.of.workflow_id) ? { session: steps } : {},
      };
    },
  };
}
