/** What all services of the stage have in common: checked requests, an OpenAPI document, /health, and faults on demand. */
import { setTimeout as sleep } from 'node:timers/promises';
import express, { type Request, type Response } from 'express';
import { z } from 'zod';
import { type Fate, type Fault, fateOf, type Lie } from './faults.ts';
import { describeService } from './openapi.ts';
import { type Ask, type Received, Refusal, type Route, type ServiceDefinition } from './route.ts';

/** The most calls that are remembered. */
const REMEMBERED = 500;
const BODY_LIMIT = '4mb';
const VERSION = '1.0.0';

export interface ServiceApp {
  app: express.Express;
  received: Received[];
  afflict(next: Fault): void;
  fault(): Fault;
}

export function createServiceApp(
  { name, description }: ServiceDefinition,
  routes: readonly Route[],
  peer: (name: string) => string,
): ServiceApp {
  const received: Received[] = [];
  let fault: Fault = { kind: 'none' };
  let calls = 0;
  const app = express().disable('x-powered-by');
  app.use(express.json({ limit: BODY_LIMIT }));
  app.get('/health', (_request, response) => {
    response.json({ status: 'healthy', service: name, version: VERSION });
  });
  app.get('/openapi.json', (_request, response) => {
    const served = fault.kind === 'drift' ? withoutPath(routes, fault.without) : routes;
    response.json(describeService({ name, description, version: VERSION }, served));
  });
  for (const served of routes) {
    app[served.method](served.path.replaceAll(/\{(\w+)\}/g, ':$1'), async (request, response) => {
      received.push(receivedFrom(request));
      if (received.length > REMEMBERED) received.shift();
      const fate = fateOf(fault, calls, served.path);
      calls += 1;
      await answer(served, request, response, fate, asking(peer, request));
    });
  }
  app.use((request, response) => {
    response.status(404).json({ error: `${name} has nothing at ${request.method} ${request.path}` });
  });
  app.use((error: unknown, _request: Request, response: Response, _next: express.NextFunction) => {
    if (response.headersSent) response.destroy();
    else response.status(statusOf(error)).json(bodyOf(error));
  });
  return {
    app,
    received,
    afflict(next) {
      fault = next;
      calls = 0;
    },
    fault: () => fault,
  };
}

async function answer(served: Route, request: Request, response: Response, fate: Fate, ask: Ask): Promise<void> {
  if (fate.does === 'wait') await sleep(fate.delayMs);
  if (fate.does === 'fail') return void response.status(fate.status).json({ error: 'out of order, on purpose' });
  if (fate.does === 'not_know') return void response.status(404).json({ error: 'gone, on purpose' });
  const input: unknown = served.method === 'get' ? { ...request.query, ...request.params } : (request.body ?? {});
  const result = await served.run({ input, idempotencyKey: request.get('idempotency-key'), ask, response });
  if (response.headersSent) return;
  const { data: body, error } = served.answer.safeParse(result);
  // Its own fault, not the caller's: it would not answer as its document says.
  if (error !== undefined) throw new Error(`no answer as the document has it: ${error.message}`);
  if (fate.does === 'lie') lie(fate.how, body, response);
  else response.status(served.status).json(body);
}

function lie(how: Lie, body: unknown, response: Response): void {
  switch (how) {
    case 'content_type':
      response.type('html').send('<!doctype html><title>Welcome</title><p>This is not what you asked for.</p>');
      return;
    case 'error_in_200':
      response.json({ error: 'something went wrong', success: false });
      return;
    case 'half_answer': {
      const whole = Buffer.from(JSON.stringify(body));
      response.type('json').setHeader('content-length', whole.length);
      response.write(whole.subarray(0, Math.floor(whole.length / 2)), () => response.destroy());
    }
  }
}

/** Calls of one service by another belong to the same run as the call that they serve. */
function asking(peer: (name: string) => string, request: Request): Ask {
  return async (service, method, path, input) => {
    const url = new URL(`${peer(service)}${path}`);
    if (method === 'GET') {
      for (const [key, value] of Object.entries(input)) if (value !== undefined) url.searchParams.set(key, value);
    }
    const headers: Record<string, string> = { 'content-type': 'application/json' };
    for (const name of ['x-correlation-id', 'traceparent', 'idempotency-key']) {
      const value = request.get(name);
      if (value !== undefined) headers[name] = value;
    }
    const sent = method === 'POST' ? { method, headers, body: JSON.stringify(input) } : { method, headers };
    const response = await fetch(url, sent).catch(() => {
      throw new Refusal(503, `${service} does not answer`);
    });
    const text = await response.text();
    if (!response.ok) throw new Refusal(response.status, `${service} answered ${response.status}: ${text}`);
    return JSON.parse(text);
  };
}

function receivedFrom(request: Request): Received {
  return {
    method: request.method,
    path: request.path,
    query: { ...request.query },
    body: request.body,
    idempotency_key: request.get('idempotency-key'),
    correlation_id: request.get('x-correlation-id'),
    traceparent: request.get('traceparent'),
  };
}

function withoutPath(routes: readonly Route[], path: string): Route[] {
  return routes.filter((served) => served.path !== path);
}

function statusOf(error: unknown): number {
  if (error instanceof Refusal) return error.status;
  if (error instanceof z.ZodError) return 400;
  // What express itself refuses: a body that is too large or not JSON.
  const status = (error as { status?: unknown }).status;
  return typeof status === 'number' ? status : 500;
}

function bodyOf(error: unknown): object {
  if (error instanceof z.ZodError) {
    const errors = error.issues.map(({ path, message }) => ({ path: path.join('.'), message }));
    return { error: errors.map(({ path, message }) => `${path}: ${message}`).join('; '), errors };
  }
  return { error: error instanceof Error ? error.message : String(error) };
}
