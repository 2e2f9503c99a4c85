/** What the adapters of approvals and signals get of the engine, bound to the task that they run. */
import type { ApprovalStore } from '../src/engine/inbox-ports.ts';
import type { ExecutionCall } from '../src/engine/ports.ts';
import type { SignalForEvents } from '../src/engine/signal-for-event.ts';
import type { ApprovalAnswer, EngineCapabilities } from './adapter.ts';

export interface InboxAccessDeps {
  approvals: Pick<ApprovalStore, 'ask'>;
  signal: SignalForEvents;
}

export function createInboxAccess(
  deps: InboxAccessDeps,
): (call: ExecutionCall) => Pick<EngineCapabilities, 'approval' | 'signal'> {
  return ({ run, actionId }) => {
    const task = { runId: run.id, epoch: run.epoch, actionId };
    return {
      async approval(question): Promise<ApprovalAnswer> {
        const { decision, deadline } = await deps.approvals.ask(task, run.tenantId, question);
        if (decision === undefined) return { is: 'open', deadline };
        const { verdict, by, comment, at } = decision;
        return { is: verdict, by, comment, at };
      },
      signal: (name, timeoutSeconds, from) =>
        deps.signal({ ...task, tenantId: run.tenantId }, name, timeoutSeconds, from),
    };
  };
}
