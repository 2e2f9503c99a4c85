/** The few requests that the examples send to a running service. */
import { z } from 'zod';

export interface Orchestrator {
  url: string;
  get<T>(path: string, shape: z.ZodType<T>): Promise<T>;
  post<T>(path: string, body: unknown, shape: z.ZodType<T>): Promise<T>;
  put<T>(path: string, body: unknown, shape: z.ZodType<T>): Promise<T>;
  remove(path: string): Promise<void>;
}

/** It answered, and not what was hoped for. */
export class AnswerError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = 'AnswerError';
    this.status = status;
  }
}

export interface Target {
  /** Where the service answers. */
  url: string;
  /** Only where the service wants one. */
  apiKey: string | undefined;
  /** Who asks, where no key says it. */
  tenant?: string;
}

const problem = z.object({ detail: z.string(), code: z.string() });
export const result = z.looseObject({
  task_id: z.string(),
  status: z.enum(['pending', 'running', 'completed', 'failed', 'cancelled']),
  result: z.record(z.string(), z.unknown()).optional(),
  error: z.string().optional(),
});
export type Result = z.output<typeof result>;

const DEFAULT_URL = 'http://localhost:8000';

export function targetFrom(environment: Record<string, string | undefined>): Target {
  const url = (environment['ORCHESTRATOR_URL'] ?? DEFAULT_URL).replace(/\/+$/, '');
  // The service itself takes a list under this name, and container files pass an empty text on.
  const [apiKey] = (environment['ORCHESTRATOR_API_KEY'] ?? '').split(',');
  return { url, apiKey: apiKey === '' ? undefined : apiKey };
}

export function openOrchestrator({ url, apiKey, tenant }: Target): Orchestrator {
  async function send<T>(method: string, path: string, body: unknown, shape: z.ZodType<T>): Promise<T> {
    const answer = await fetch(`${url}${path}`, {
      method,
      headers: {
        'content-type': 'application/json',
        ...(apiKey === undefined ? {} : { 'x-api-key': apiKey }),
        ...(tenant === undefined ? {} : { 'x-tenant-id': tenant }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }).catch((cause: unknown) => {
      throw new Error(`Nothing answers at ${url}: start the service with \`npm start\`, or set ORCHESTRATOR_URL.`, {
        cause,
      });
    });
    const text = await answer.text();
    if (answer.ok) return shape.parse(text === '' ? undefined : JSON.parse(text));
    const told = problem.safeParse(answer.headers.get('content-type')?.includes('json') ? JSON.parse(text) : undefined);
    const why = told.success ? told.data.detail : text;
    throw new AnswerError(answer.status, `${method} ${path} answered ${answer.status}: ${why}`);
  }
  return {
    url,
    get: (path, shape) => send('GET', path, undefined, shape),
    post: (path, body, shape) => send('POST', path, body, shape),
    put: (path, body, shape) => send('PUT', path, body, shape),
    remove: (path) => send('DELETE', path, undefined, z.undefined()),
  };
}

export function hasEnded({ status }: Result): boolean {
  return status !== 'pending' && status !== 'running';
}

/** Asks for the result of a task or of an execution until it has ended; `wait` holds each answer back until then. */
export async function untilEnded(api: Orchestrator, id: string, deadline: number): Promise<Result> {
  for (;;) {
    const answer = await api.get(`/result/${id}?wait=10`, result);
    if (hasEnded(answer)) return answer;
    if (performance.now() > deadline) throw new Error(`${id} is still ${answer.status}: is a worker running?`);
  }
}

/** For the end of a script: what went wrong in one line, and an exit code that says so. */
export async function endWith(work: Promise<boolean>): Promise<void> {
  try {
    process.exitCode = (await work) ? 0 : 1;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
