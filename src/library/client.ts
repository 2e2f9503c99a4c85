/** A service that answers over HTTP, asked the way the older platform's library was: who asks is named with each call. */
import { setTimeout as sleep } from 'node:timers/promises';

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
  /** `user`: who it is said to be by; believed where the service requires no credentials, or trusts these to say so. */
  createWorkflow(data: Answered, user?: string): Promise<WorkflowOutcome>;
  executeWorkflow(workflowId: string, parameters?: Answered, user?: string): Promise<ExecutionOutcome>;
  /** Resolves to the execution when it has ended; throws when it has not within the time (seconds), or is not known. */
  waitForExecution(executionId: string, options?: { timeoutSeconds?: number }): Promise<Answered>;
}

const WAIT_SECONDS = 20;
const PAUSE_MS = 500;
/** After which no answer is to be expected, beyond what the service was asked to wait. */
const ANSWER_MS = 40_000;

export function openClient({ url, token, tenant }: ClientOptions): OrchestratorClient {
  const base = url.replace(/\/+$/, '');

  async function send(method: 'GET' | 'POST', path: string, body?: Answered, user?: string) {
    const answer = await fetch(`${base}${path}`, {
      method,
      signal: AbortSignal.timeout(ANSWER_MS),
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(tenant === undefined ? {} : { 'x-tenant-id': tenant }),
        ...(user === undefined ? {} : { 'x-user-id': user }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    return { ok: answer.ok, status: answer.status, body: (text === '' ? {} : JSON.parse(text)) as Answered }; // All answers are objects.
  }

  function refused(body: Answered): Outcome {
    const errors = body['errors'] as Outcome['errors']; // As every problem document has them.
    return { success: false, message: String(body['detail']), ...(errors === undefined ? {} : { errors }) };
  }

  return {
    url: base,
    async createWorkflow(data, user) {
      const { ok, body } = await send('POST', '/workflows', data, user);
      return ok ? { success: true, message: 'Workflow created', workflow: body } : refused(body);
    },
    async executeWorkflow(workflowId, parameters = {}, user) {
      const path = `/workflows/${encodeURIComponent(workflowId)}/execute`;
      const { ok, body } = await send('POST', path, { parameters }, user);
      return ok ? { success: true, message: 'Workflow execution started', execution: body } : refused(body);
    },
    async waitForExecution(executionId, { timeoutSeconds = Number.POSITIVE_INFINITY } = {}) {
      const id = encodeURIComponent(executionId);
      const deadline = performance.now() + timeoutSeconds * 1_000;
      for (;;) {
        const seconds = Math.min(WAIT_SECONDS, Math.max(0, (deadline - performance.now()) / 1_000));
        const { status, body } = await send('GET', `/result/${id}?wait=${seconds.toFixed(2)}`);
        if (status === 404) throw new Error(`Execution ${executionId} not found`);
        if (status === 200 && body['status'] !== 'pending' && body['status'] !== 'running') {
          return (await send('GET', `/workflows/executions/${id}`)).body;
        }
        if (performance.now() >= deadline) {
          throw new Error(`Execution ${executionId} has not ended within ${timeoutSeconds} s`);
        }
        // A service that is restarting, or that asks for patience.
        if (status !== 200) await sleep(PAUSE_MS);
      }
    },
  };
}
