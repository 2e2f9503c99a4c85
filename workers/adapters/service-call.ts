/** `service_call`: calls a registered or configured service by its name, or a URL. */
import { z } from 'zod';
import {
  type AdapterContext,
  anyJson,
  defineAdapter,
  expectOk,
  headerTexts,
  NonRetryableError,
  readBody,
  requestHeaders,
  requestMethod,
  requestQuery,
  withQuery,
} from '../adapter.ts';

type Json = z.output<typeof anyJson>;

interface Input {
  endpoint?: string | undefined;
  path?: string | undefined;
  method?: string | undefined;
  headers?: z.output<typeof requestHeaders> | undefined;
  query?: z.output<typeof requestQuery> | undefined;
  parameters?: Json | undefined;
}

const METHODS_WITH_BODY = new Set(['POST', 'PUT', 'PATCH']);

export const serviceCall = defineAdapter({
  type: 'service_call',
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
    })
    .refine(({ service, url }) => (service === undefined) !== (url === undefined), {
      error: 'either service or url is required',
      path: ['service'],
    })
    .refine(({ service, operation_id }) => operation_id === undefined || service !== undefined, {
      error: 'operation_id needs a service',
      path: ['operation_id'],
    })
    .refine(
      (given) => given.operation_id === undefined || (given.endpoint ?? given.path ?? given.method) === undefined,
      {
        error: 'operation_id stands instead of endpoint and method',
        path: ['operation_id'],
      },
    )
    .refine(({ endpoint, path }) => endpoint === undefined || path === undefined, {
      error: 'endpoint and path exclude each other',
      path: ['path'],
    }),
  output: z.object({ status: z.int(), headers: z.record(z.string(), z.string()), response: anyJson }),
  async run(input, context) {
    const { service, url } = input;
    const base = service === undefined ? { url: url ?? '', trusted: false } : await addressOf(service, context);
    const request =
      service === undefined || input.operation_id === undefined
        ? plainRequest(input)
        : await operationRequest({ ...input, service, operation_id: input.operation_id }, context);
    const target = below(base.url, request.path);
    withQuery(target, request.query);
    if (service !== undefined) await context.turn(service);
    const answer = await context.fetch(withQuery(target, input.query), {
      method: request.method,
      headers: { ...request.headers, ...headerTexts(input.headers) },
      ...(request.body === undefined ? {} : { body: request.body }),
      signal: context.signal,
      trusted: base.trusted,
    });
    const what = service ?? target.origin;
    await expectOk(answer, what);
    return { status: answer.status, headers: answer.headers, response: await readBody(answer, 'auto', what) };
  },
});

async function addressOf(name: string, context: AdapterContext): Promise<{ url: string; trusted: boolean }> {
  const known = await context.service(name);
  if (known !== undefined) return { url: known.baseUrl, trusted: true };
  const variable = `${name.toUpperCase().replace(/[^A-Z0-9]+/g, '_')}_URL`;
  throw new NonRetryableError(`the service '${name}' is not known: register it or set ${variable}`, {
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

/** A path may come from a template, so it stays below the address: it cannot change the host or climb out of the prefix. */
function below(base: string, endpoint: string): URL {
  const root = new URL(base);
  if (endpoint === '') return root;
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(endpoint)) {
    throw new NonRetryableError(`endpoint must be a path, not ${endpoint}`, { code: 'input_invalid' });
  }
  const prefix = root.pathname.replace(/\/+$/, '');
  const target = new URL(`${root.origin}${prefix}/${endpoint.replace(/^\/+/, '')}`);
  if (target.origin !== root.origin || !target.pathname.startsWith(`${prefix}/`)) {
    throw new NonRetryableError(`endpoint ${endpoint} leaves the address of the service`, { code: 'input_invalid' });
  }
  return target;
}

function queryOf(parameters: Json | undefined): Record<string, Json> {
  if (parameters === undefined || parameters === null) return {};
  if (typeof parameters === 'object' && !Array.isArray(parameters)) return parameters;
  throw new NonRetryableError('parameters must be an object when they are sent as a query', { code: 'input_invalid' });
}
