/**
 * A request for a run becomes the run, whichever way it came: first it is a row of the inbox, then it is accepted as every
 * run is, under the id that it names. So it may be taken in again at any time: the same request changes nothing.
 */
import { describe, OrchestratorError } from '../../domain/errors.ts';
import { requestHash } from '../../engine/accept/request-hash.ts';
import { type Failpoint, NO_FAILPOINT } from '../../engine/ports/failpoint.ts';
import type { WorkflowStore } from '../../engine/ports/read-models.ts';
import type { AcceptedRun, AcceptRuns, Caller, ExecuteRequest } from '../../engine/ports/use-cases.ts';
import { hasDefinition } from './domain.ts';
import type { FlowDefinitions } from './flow-definitions.ts';
import type { FlowInbox, TakeFlowRun } from './ports.ts';
import type { FlowRunMessage } from './schemas.ts';

export interface TakeFlowRunDeps {
  inbox: FlowInbox;
  definitions: FlowDefinitions;
  workflows: Pick<WorkflowStore, 'resolve'>;
  accept: Pick<AcceptRuns, 'executeWorkflow'>;
  /** The error says that some run has the id already. */
  isTaken(error: unknown): boolean;
  failpoint?: Failpoint;
}

export function createTakeFlowRun(deps: TakeFlowRunDeps): TakeFlowRun {
  const { inbox, definitions, accept, failpoint = NO_FAILPOINT } = deps;

  async function executeDefined(
    caller: Caller,
    written: NonNullable<FlowRunMessage['flow_definition']>,
    request: ExecuteRequest,
  ) {
    try {
      return await accept.executeWorkflow(caller, await definitions.idOf(caller, written), request);
    } catch (error) {
      if (!isUnknown(error)) throw error;
      // It was erased since it was stored.
      definitions.forget(caller, written);
      return accept.executeWorkflow(caller, await definitions.idOf(caller, written), request);
    }
  }

  async function executeNamed(caller: Caller, flowId: string, request: ExecuteRequest): Promise<AcceptedRun> {
    try {
      return await accept.executeWorkflow(caller, flowId, request);
    } catch (error) {
      if (!isUnknown(error)) throw error;
      const named = await deps.workflows.resolve(caller.tenantId, flowId);
      if (named === undefined) throw new OrchestratorError('unknown_flow', `There is no flow '${flowId}'`);
      return accept.executeWorkflow(caller, named.id, request);
    }
  }

  return async function take(caller, message, idempotencyKey) {
    const { run_id: runId, flow_id: flowId } = message;
    const written = message.flow_definition ?? undefined;
    const correlationId = message.correlation_id ?? caller.correlationId;
    const named = { tenantId: caller.tenantId, runId };
    const claimed = { ...named, flowId, digest: digestOf(message) };
    const claim = await inbox.claim(claimed);
    if (claim.is === 'other') throw conflict(runId);
    if (claim.is === 'run') return { runId, correlationId: claim.correlationId ?? runId, repeated: true };
    await failpoint('flow.afterClaim');
    const request: ExecuteRequest = {
      parameters: message.input ?? {},
      strict: false,
      execution_id: runId,
      execution_context: message.execution_context ?? {},
      correlation_id: message.correlation_id ?? undefined,
      idempotency_key: idempotencyKey,
      priority: message.priority ?? undefined,
    };
    let accepted: AcceptedRun;
    try {
      accepted = hasDefinition(written)
        ? await executeDefined(caller, written, request)
        : await executeNamed(caller, flowId, request);
    } catch (error) {
      if (deps.isTaken(error)) {
        // Either the same request was taken in at the same time, or the id is somebody else’s.
        const again = await inbox.claim(claimed);
        if (again.is === 'run') return { runId, correlationId: again.correlationId ?? runId, repeated: true };
        await inbox.release(named);
        throw conflict(runId);
      }
      // What may come again finds its row; what is rejected for good leaves none.
      if (error instanceof OrchestratorError && !describe(error.code).retryable) await inbox.release(named);
      throw error;
    }
    if (accepted.id === runId) return { runId, correlationId: correlationId ?? runId, repeated: accepted.repeated };
    // The idempotency key has a run already, under another id.
    await inbox.release(named);
    const first = await inbox.find(caller.tenantId, accepted.id);
    return { runId: accepted.id, correlationId: first?.correlationId ?? accepted.id, repeated: true };
  };
}

/** Of what the run is made of. What only says how the request came may differ when it comes again. */
function digestOf(message: FlowRunMessage): string {
  const { flow_id, user_id, correlation_id, input, execution_context, flow_definition } = message;
  return requestHash({
    flow_id,
    user_id: user_id ?? undefined,
    correlation_id: correlation_id ?? undefined,
    input: input ?? {},
    execution_context: execution_context ?? {},
    flow_definition: flow_definition ?? {},
  });
}

function conflict(runId: string): OrchestratorError {
  return new OrchestratorError('run_id_conflict', `Another request has the run id '${runId}'`);
}

function isUnknown(error: unknown): boolean {
  return error instanceof OrchestratorError && error.code === 'not_found';
}
