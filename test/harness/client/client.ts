/** The public door as a client sees it. */
import { type TaskResult, taskResult } from '../../../src/schemas/answers.ts';
import { type Execution, execution } from '../../../src/schemas/workflow-answers.ts';

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  /** Parsed when it is JSON. */
  body: unknown;
}
export type Headings = Record<string, string>;

export interface Client {
  url: string;
  send(method: string, path: string, body?: unknown, headers?: Headings): Promise<Answer>;
  get(path: string, headers?: Headings): Promise<Answer>;
  post(path: string, body?: unknown, headers?: Headings): Promise<Answer>;
  put(path: string, body: unknown, headers?: Headings): Promise<Answer>;
  /** Begins a task and gives its id. */
  assign(task: object, headers?: Headings): Promise<string>;
  /** The result of a task once it has ended. */
  ended(taskId: string): Promise<TaskResult>;
  createWorkflow(definition: object): Promise<string>;
  /** Begins an execution and gives its id. */
  execute(workflowId: string, body?: object, headers?: Headings): Promise<string>;
  execution(id: string): Promise<Execution>;
  /** The execution once it has ended. */
  finished(id: string): Promise<Execution>;
  /** Creates a workflow, executes it and waits for the end. */
  run(definition: object, parameters?: object): Promise<Execution>;
}

export function openClient(url: string, common: Headings = {}): Client {
  const send: Client['send'] = async (method, path, body, headers) => {
    const text = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { ...common, ...(text === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(text === undefined ? {} : { body: text }),
    });
    return readAnswer(response);
  };
  const client: Client = {
    url,
    send,
    get: (path, headers) => send('GET', path, undefined, headers),
    post: (path, body, headers) => send('POST', path, body, headers),
    put: (path, body, headers) => send('PUT', path, body, headers),
    async assign(task, headers) {
      return field(accepted(await client.post('/assign-task', task, headers), 202), 'task_id');
    },
    async ended(taskId) {
      for (;;) {
        const result = taskResult.parse(accepted(await client.get(`/result/${taskId}?wait=20`), 200).body);
        if (result.status !== 'pending' && result.status !== 'running') return result;
      }
    },
    async createWorkflow(definition) {
      return field(accepted(await client.post('/workflows', definition), 201), 'workflow_id');
    },
    async execute(workflowId, body = {}, headers = {}) {
      return field(accepted(await client.post(`/workflows/${workflowId}/execute`, body, headers), 202), 'execution_id');
    },
    async execution(id) {
      return execution.parse(accepted(await client.get(`/workflows/executions/${id}`), 200).body);
    },
    async finished(id) {
      await client.ended(id);
      return client.execution(id);
    },
    async run(definition, parameters = {}) {
      return client.finished(await client.execute(await client.createWorkflow(definition), { parameters }));
    },
  };
  return client;
}

export async function readAnswer(response: Response): Promise<Answer> {
  const { status, headers } = response;
  const text = await response.text();
  const isJson = /json/.test(headers.get('content-type') ?? '') && text !== '';
  return { status, headers, text, body: isJson ? JSON.parse(text) : undefined };
}

/** What an answer must be before a test goes on; the body says why it is not. */
export function accepted(answer: Answer, status: number): Answer {
  if (answer.status !== status) throw new Error(`answered ${answer.status} instead of ${status}: ${answer.text}`);
  return answer;
}

/** A text field of an answer. */
export function field(answer: Answer, name: string): string {
  const value = (answer.body as Record<string, unknown> | undefined)?.[name]; // An answer is an object.
  if (typeof value !== 'string') throw new Error(`no ${name} in ${answer.text}`);
  return value;
}

/** A list of objects in an answer. */
export function list(answer: Answer, name = 'items'): Array<Record<string, unknown>> {
  const value = (answer.body as Record<string, unknown> | undefined)?.[name]; // An answer is an object.
  if (!Array.isArray(value)) throw new Error(`no list ${name} in ${answer.text}`);
  return value as Array<Record<string, unknown>>; // Every list of the service holds objects.
}

/** action_id -> status. */
export function statuses(run: Execution): Record<string, string> {
  return Object.fromEntries(run.tasks.map(({ action_id, status }) => [action_id, status]));
}
