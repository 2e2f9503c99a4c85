/** Runs of the service's own workflows: what a door does by a run, which others can see, retry and stop like any other. */
import type { JsonObject } from '../schemas/json.ts';
import type { Execution } from '../schemas/workflow-answers.ts';
import type { RunReader } from './read-models.ts';
import type { SystemWorkflows } from './system-workflows.ts';
import type { AcceptedRun, AcceptRuns, Caller, WaitForRuns } from './use-cases.ts';

export interface SystemRunRequest {
  /** Else that of the caller. */
  correlationId?: string | undefined;
  idempotencyKey?: string | undefined;
  priority?: number | undefined;
  /** Shown among the sagas. */
  saga?: true;
}

export interface SystemRuns {
  begin(caller: Caller, name: string, parameters: JsonObject, request: SystemRunRequest): Promise<AcceptedRun>;
  /** `ended` is undefined when it is still under way by then, and goes on. */
  runAndWait(
    caller: Caller,
    name: string,
    parameters: JsonObject,
    request: SystemRunRequest & { waitMs: number; signal: AbortSignal },
  ): Promise<{ accepted: AcceptedRun; ended: Execution | undefined }>;
}

export interface SystemRunDeps {
  system: SystemWorkflows;
  accept: Pick<AcceptRuns, 'executeWorkflow'>;
  wait: WaitForRuns;
  reader: Pick<RunReader, 'execution'>;
}

export function createSystemRuns({ system, accept, wait, reader }: SystemRunDeps): SystemRuns {
  const begin: SystemRuns['begin'] = async (caller, name, parameters, request) => {
    const { id, version } = await system.ensure(caller.tenantId, name);
    const { correlationId, idempotencyKey, priority, saga } = request;
    return accept.executeWorkflow(caller, id, {
      parameters,
      version,
      correlation_id: correlationId,
      idempotency_key: idempotencyKey,
      priority,
      saga,
      strict: true,
    });
  };
  return {
    begin,
    async runAndWait(caller, name, parameters, { waitMs, signal, ...request }) {
      const accepted = await begin(caller, name, parameters, request);
      const final = await wait.waitUntilFinal(accepted.id, waitMs, signal);
      return { accepted, ended: final ? await reader.execution(caller.tenantId, accepted.id) : undefined };
    },
  };
}
