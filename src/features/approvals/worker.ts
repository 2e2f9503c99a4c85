/** The worker's part: what the adapter of approvals calls. */
import type { FeatureWorker } from '../../feature.ts';
import type { ApprovalAnswer } from './adapter.ts';
import { createApprovalStore } from './store.ts';

export const worker: FeatureWorker = {
  open({ pool }) {
    const approvals = createApprovalStore(pool);
    return {
      capabilities: ({ run, actionId }) => ({
        async approval(question): Promise<ApprovalAnswer> {
          const task = { runId: run.id, epoch: run.epoch, actionId };
          const { decision, deadline } = await approvals.request(task, run.tenantId, question);
          if (decision === undefined) return { is: 'open', deadline };
          const { verdict, by, comment, at } = decision;
          return { is: verdict, by, comment, at };
        },
      }),
    };
  },
};
