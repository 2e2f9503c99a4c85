/** `service_call`: calls a registered or configured service by its name, or a URL. */
import { setTimeout } from 'node:timers/promises';
import { z } from 'zod';
import {
  type AdapterContext,
  type AdapterResponse,
  anyJson,
  defineAdapter,
  expectOk,
  headerTexts,
  NonRetryableError,
  RetryableError,
  readBody,
  requestHeaders,
  requestMethod,
  requestQuery,
  withQuery,
} from '../adapter.ts';
import { belowService, callService, type Exchange } from '../call-service.ts';

type Json = z.output<typeof anyJson>;

interface Input {
  endpoint?: string | undefined;
  path?: string | undefined;
  method?: string | undefined;
  headers?: z.output<typeof requestHeaders> | undefined;
  query?: z.output<typeof requestQuery> | undefined;
  parameters?: Json | undefined;
}

const BUSY_WAIT_MS = 500;
const METHODS_WITH_BODY = new Set(['POST', 'PUT', 'PATCH']);

export const serviceCall = defineAdapter({
  type: 'service_call',
  sendsByFetchAlone: () => true,
  description: 'Calls a service by its name (configured or registered) or by a URL.',
  config: z
    .strictObject({
      service: z
        .string()
        .min(1)
        .optional()
        .meta({ description: 'The name of a service', examples: ['analysis_service'] }),
      url: z
        .url({ protocol: /^https?$/ })
        .optional()
        .meta({ description: 'Instead of service' }),
      endpoint: z
        .string()
        .optional()
        .meta({ description: 'A path below the address of the service', examples: ['/analyze'] }),
      path: z.string().optional().meta({ description: 'Another word for endpoint' }),
      operation_id: z
        .string()
        .min(1)
        .max(500)
        .optional()
        .meta({
          description:
            'Instead of endpoint and method: an operation of the OpenAPI document that was polled last, by its operationId, or ' +
            'as `GET /path` where it has none. What `parameters` hold goes to path, query, headers and body as it says.',
          examples: ['createDocument'],
        }),
      method: requestMethod.optional().meta({ description: 'Default: POST with parameters, else GET' }),
      headers: requestHeaders.optional(),
      query: requestQuery.optional(),
      parameters: anyJson
        .optional()
        .meta({ description: 'JSON body of POST, PUT and PATCH; query of the other methods' }),
      on_circuit_open: z.enum(['fail', 'wait']).default('fail').meta({
        description:
          'While no instance may be called because their circuits are open: the attempt fails with circuit_open, or the task waits, without holding a worker, until a call is let through',
      }),
      expect: z
        .strictObject({
          status: z.array(z.int().min(100).max(599)).min(1).optional().meta({ description: 'Default: 200 to 299' }),
          content_type: z
            .string()
            .min(1)
            .optional()
            .meta({ examples: ['application/json'] }),
          when: z
            .string()
            .min(1)
            .max(10_000)
            .optional()
            .meta({ description: 'CEL over status, headers and response', examples: ['!has(response.error)'] }),
        })
        .optional()
        .meta({ description: 'An answer that is not as expected is an error of the service, and can be tried again' }),
    })
    .refine(({ service, url }) => (service === undefined) !== (url === undefined), {
      error: 'either service or url is required',
      path: ['service'],
    })
    .refine(({ service, operation_id }) => operation_id === undefined || service !== undefined, {
      error: 'operation_id needs a service',
      path: ['operation_id'],
    })
    .refine((call) => call.operation_id === undefined || (call.endpoint ?? call.path ?? call.method) === undefined, {
      error: 'operation_id stands instead of endpoint and method',
      path: ['operation_id'],
    })
    .refine(({ endpoint, path }) => endpoint === undefined || path === undefined, {
      error: 'endpoint and path exclude each other',
      path: ['path'],
    }),
  conditions: ['expect.when'],
  output: z.object({ status: z.int(), headers: z.record(z.string(), z.string()), response: anyJson }),
  async run(input, context) {
    const { service, url, expect } = input;
    if (service !== undefined && (await context.service(service)) === undefined) throw unknown(service);
    const request =
      service === undefined || input.operation_id === undefined
        ? plainRequest(input)
        : await operationRequest({ ...input, service, operation_id: input.operation_id }, context);
    const what = service ?? new URL(url ?? '').origin;
    const exchange = async (base: string, signal: AbortSignal): Promise<Exchange<Output>> => {
      const target = belowService(base, request.path);
      withQuery(target, request.query);
      const answer = await context.fetch(withQuery(target, input.query), {
        method: request.method,
        headers: { ...request.headers, ...headerTexts(input.headers) },
        ...(request.body === undefined ? {} : { body: request.body }),
        signal,
        ...(service === undefined ? {} : { service }),
      });
      // A service that rejects a call, or asks to wait, works.
      const rejects = answer.status >= 400 && answer.status < 500 && !isGood(answer, expect);
      const outcome = rejects ? 'answered' : 'failed';
      try {
        return { outcome: 'answered', value: await readAnswer(answer, what, expect, context) };
      } catch (error) {
        return { outcome, error };
      }
    };
    if (service === undefined) {
      const end = await exchange(url ?? '', context.signal);
      if ('value' in end) return end.value;
      throw end.error;
    }
    await context.awaitRateLimit(service);
    return callService({ service, method: request.method, onOpen: input.on_circuit_open }, context, exchange);
  },
});

type Output = { status: number; headers: Record<string, string>; response: Json };
type Expect =
  | { status?: number[] | undefined; content_type?: string | undefined; when?: string | undefined }
  | undefined;

function isGood({ status }: AdapterResponse, expect: Expect): boolean {
  return expect?.status === undefined ? status >= 200 && status < 300 : expect.status.includes(status);
}

async function readAnswer(
  answer: AdapterResponse,
  what: string,
  expect: Expect,
  context: AdapterContext,
): Promise<Output> {
  if (!isGood(answer, expect)) {
    await expectOk(answer, what);
    throw notExpected(what, `the status ${answer.status}`);
  }
  const type = answer.headers['content-type'] ?? '';
  if (expect?.content_type !== undefined && mediaType(type) !== mediaType(expect.content_type)) {
    throw notExpected(what, `the content type ${type === '' ? 'left out' : type}`);
  }
  const { status, headers } = answer;
  const response = await readBody(answer, 'auto', what);
  if (expect?.when !== undefined && !(await holds(expect.when, { status, headers, response }, context))) {
    throw notExpected(what, `an answer of which \`${expect.when}\` does not hold`);
  }
  return { status, headers, response };
}

/**
 * An expression that fails on an answer is false. The service has been called by now: while others are evaluated this
 * waits, as another delivery would call it once more.
 */
async function holds(expression: string, variables: Record<string, Json>, context: AdapterContext): Promise<boolean> {
  for (;;) {
    try {
      return (await context.evaluate(expression, variables)) === true;
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code === 'expression_failed') return false;
      if (code !== 'expressions_busy') throw error;
      await setTimeout(BUSY_WAIT_MS, undefined, { signal: context.signal });
    }
  }
}

function mediaType(contentType: string): string {
  return (contentType.split(';')[0] ?? '').trim().toLowerCase();
}

function notExpected(what: string, found: string): RetryableError {
  return new RetryableError(`${what} answered with ${found}, which is not expected`, { code: 'upstream_error' });
}

function unknown(name: string): NonRetryableError {
  const variable = `${name.toUpperCase().replace(/[^A-Z0-9]+/g, '_')}_URL`;
  return new NonRetryableError(`the service '${name}' is not known: register it or set ${variable}`, {
    code: 'service_unknown',
  });
}

interface PlannedRequest {
  method: string;
  path: string;
  query: Record<string, Json>;
  headers: Record<string, string>;
  body: string | undefined;
}

function plainRequest({ endpoint, path, method, parameters }: Input): PlannedRequest {
  const verb = method ?? (parameters === undefined ? 'GET' : 'POST');
  const asBody = parameters !== undefined && METHODS_WITH_BODY.has(verb);
  return {
    method: verb,
    path: endpoint ?? path ?? '',
    query: asBody ? {} : queryOf(parameters),
    headers: asBody ? { 'content-type': 'application/json' } : {},
    body: asBody ? JSON.stringify(parameters) : undefined,
  };
}

async function operationRequest(
  { service, operation_id, parameters, query, headers }: Input & { service: string; operation_id: string },
  context: AdapterContext,
): Promise<PlannedRequest> {
  const call = await context.operation(service, operation_id, { parameters, query, headers: headerTexts(headers) });
  const { mediaType, text } = call.body ?? {};
  return {
    ...call,
    headers: { ...(mediaType === undefined ? {} : { 'content-type': mediaType }), ...call.headers },
    body: text,
  };
}

function queryOf(parameters: Json | undefined): Record<string, Json> {
  if (parameters === undefined || parameters === null) return {};
  if (typeof parameters === 'object' && !Array.isArray(parameters)) return parameters;
  throw new NonRetryableError('parameters must be an object when they are sent as a query', { code: 'input_invalid' });
}
