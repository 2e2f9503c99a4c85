/** The client of createOrchestrator: the SDK, called the way the older platform's library was, where the user is named with each call. */
import { ApiError, type Client, createClient } from '../../sdk/src/index.ts';

/** JSON as it came; its fields are those of contracts/openapi.yaml. */
export type Answered = Record<string, unknown>;

interface Outcome {
  success: boolean;
  /** What was done, or why not: the `detail` of the problem. */
  message: string;
  /** What is wrong with which field, where that is why. */
  errors?: Array<{ path: string; message: string }>;
}

export interface WorkflowOutcome extends Outcome {
  /** Where it was made. */
  workflow?: Answered;
}

export interface ExecutionOutcome extends Outcome {
  /** What its start answered: its id and links. */
  execution?: Answered;
}

export interface ClientOptions {
  url: string;
  /** An API key or a JWT; left out where the service wants none. */
  token?: string | undefined;
  tenant?: string | undefined;
}

export interface OrchestratorClient {
  readonly url: string;
  /** The SDK for the same service: every operation, events, workers. */
  readonly sdk: Client;
  /** `user`: who it is said to be by; believed where the service requires no credentials, or trusts these to say so. */
  createWorkflow(data: Answered, user?: string): Promise<WorkflowOutcome>;
  executeWorkflow(workflowId: string, parameters?: Answered, user?: string): Promise<ExecutionOutcome>;
  /** Resolves to the execution when it has ended; throws when it has not within the time (seconds), or is not known. */
  waitForExecution(executionId: string, options?: { timeoutSeconds?: number }): Promise<Answered>;
}

export function openClient({ url, token, tenant }: ClientOptions): OrchestratorClient {
  const base = url.replace(/\/+$/, '');
  const sdk = createClient({ url: base, token, tenant });
  return {
    url: base,
    sdk,
    async createWorkflow(data, user) {
      const body = data as never; // The service says what is wrong with it.
      const made = await outcomeOf(() => sdk.api.createWorkflow({ body }, { user }));
      return made.ok ? { success: true, message: 'Workflow created', workflow: made.answer } : made.outcome;
    },
    async executeWorkflow(workflowId, parameters = {}, user) {
      const input = { workflow_id: workflowId, body: { parameters } };
      const started = await outcomeOf(() => sdk.api.executeWorkflow(input, { user }));
      if (!started.ok) return started.outcome;
      return { success: true, message: 'Workflow execution started', execution: started.answer };
    },
    async waitForExecution(executionId, options) {
      try {
        return await sdk.executions.of(executionId).ended(options);
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 404) throw error;
        throw new Error(`Execution ${executionId} not found`, { cause: error });
      }
    },
  };
}

type Sent = { ok: true; answer: Answered } | { ok: false; outcome: Outcome };

async function outcomeOf(send: () => Promise<object>): Promise<Sent> {
  try {
    return { ok: true, answer: (await send()) as Answered }; // All answers are objects.
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const { errors } = error.problem;
    const outcome = { success: false, message: error.message, ...(errors === undefined ? {} : { errors }) };
    return { ok: false, outcome };
  }
}
