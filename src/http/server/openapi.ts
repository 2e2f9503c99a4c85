/** The OpenAPI document, written from the operations that are served and the schemas that check them. */
import { STATUS_CODES } from 'node:http';
import { type ZodType, z } from 'zod';
import {
  createDocument,
  type oas31,
  type ZodOpenApiPathsObject,
  type ZodOpenApiResponseObject,
  type ZodOpenApiResponsesObject,
} from 'zod-openapi';
import { PERMISSIONS } from '../../domain/access.ts';
import { problem } from '../../schemas/answers.ts';
import { type Answer, MAX_ID_LENGTH, type Operation } from './operation.ts';

/** Every operation can answer these. */
const ALWAYS = [429, 500, 503];

export function createApiDocument(
  operations: readonly Operation[],
  options: { version: string; serverUrl: string | undefined },
): oas31.OpenAPIObject {
  const paths: ZodOpenApiPathsObject = {};
  for (const op of operations) {
    paths[op.path] = { ...paths[op.path], [op.method]: describeOperation(op) };
  }
  return createDocument({
    openapi: '3.1.1',
    info: {
      title: 'Orchestrator',
      version: options.version,
      description:
        'A durable workflow orchestrator. Every response has the headers `X-Request-Id` and `traceparent`, and `X-Correlation-ID` if the request had it. ' +
        'Every path also works with a trailing slash. Errors are RFC 9457 problem documents. `x-permission` names the permission that an operation requires.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: options.serverUrl ?? '/' }],
    tags: [
      { name: 'Tasks', description: 'Single-task API: start tasks, get their results, and serve external workers' },
      { name: 'Workflows', description: 'Workflow definitions, their versions and templates' },
      { name: 'Executions', description: 'Executions of workflows, and their control' },
      { name: 'Schedules', description: 'Scheduled executions of workflows' },
      { name: 'Secrets', description: 'Write-only secrets that tasks can use' },
      { name: 'Webhooks', description: 'Webhooks that receive the events of executions' },
      { name: 'Registry', description: 'Registry of the services that are called by name' },
      {
        name: 'Platform',
        description: 'Endpoints of the older workflow platform; each request is handled by an execution',
      },
      {
        name: 'Infrastructure',
        description: 'Operations: dead letters, error groups, sagas, events, traces, audit, tenants and lanes',
      },
      { name: 'Service', description: 'Health, metrics, configuration, login and API keys' },
    ],
    // The empty one: where no key is configured none is needed.
    security: [{}, { apiKey: [] }, { bearer: [] }],
    paths,
    'x-permissions': PERMISSIONS,
    components: {
      securitySchemes: {
        apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
        bearer: { type: 'http', scheme: 'bearer' },
      },
    },
  });
}

function describeOperation(op: Operation): NonNullable<ZodOpenApiPathsObject[string]['get']> {
  const body = op.bodyDocument ?? op.body;
  // A schema of a query is always one of an object.
  const query = op.query as NonNullable<NonNullable<ZodOpenApiPathsObject[string]['get']>['requestParams']>['query'];
  return {
    operationId: op.id,
    tags: [op.tag],
    summary: op.summary,
    ...(op.description === undefined ? {} : { description: op.description }),
    'x-permission': op.permission,
    ...(op.permission === 'public' ? { security: [] } : {}),
    parameters: [...pathParameters(op), ...headerParameters(op)],
    ...(query === undefined ? {} : { requestParams: { query } }),
    ...(body === undefined
      ? {}
      : { requestBody: { required: op.bodyOptional !== true, content: { 'application/json': { schema: body } } } }),
    responses: responses(op),
  };
}

function pathParameters(op: Operation): oas31.ParameterObject[] {
  return [...op.path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => ({
    in: 'path',
    name,
    required: true,
    schema: { type: 'string', maxLength: op.lengths?.[name] ?? MAX_ID_LENGTH },
  }));
}

function headerParameters(op: Operation): oas31.ParameterObject[] {
  return Object.entries(op.headers ?? {}).map(([name, description]) => ({
    in: 'header',
    name,
    description,
    schema: { type: 'string' },
  }));
}

/** Of every operation: an id in a header that is too long. */
const MALFORMED = 400;
/** Also what needs no credentials rejects wrong ones, requests of other sites' pages, and other host names. */
const REJECTIONS = [401, 403];

function responses(op: Operation): ZodOpenApiResponsesObject {
  const described: Array<[number, ZodOpenApiResponseObject]> = Object.entries(op.answers).map(([status, answer]) => [
    Number(status),
    describeAnswer(answer),
  ]);
  const answered = new Set(described.map(([status]) => status));
  for (const status of [MALFORMED, ...op.problems, ...REJECTIONS, ...ALWAYS]) {
    if (!answered.has(status)) described.push([status, problemOf(op, status)]);
  }
  return Object.fromEntries(
    described.sort(([a], [b]) => a - b).map(([status, response]) => [`${status}`, response]),
  ) as ZodOpenApiResponsesObject;
}

function problemOf({ problemPages = [] }: Operation, status: number): ZodOpenApiResponseObject {
  if (!problemPages.includes(status)) return PROBLEMS(status);
  return {
    description: `${descriptionOf(status)}; an HTML page if the client accepts text/html`,
    content: contentOf({ 'application/problem+json': problem, 'text/html': z.string() }),
  };
}

function describeAnswer({ description, schema, mediaType, others = {}, headers }: Answer): ZodOpenApiResponseObject {
  return {
    description,
    ...(headers === undefined
      ? {}
      : {
          headers: Object.fromEntries(
            Object.entries(headers).map(([name, text]): [string, oas31.HeaderObject] => [
              name,
              { description: text, schema: { type: 'string' } },
            ]),
          ),
        }),
    ...(schema === undefined ? {} : { content: contentOf({ [mediaType ?? 'application/json']: schema, ...others }) }),
  };
}

function contentOf(schemas: Record<string, ZodType>): Record<string, { schema: ZodType }> {
  return Object.fromEntries(Object.entries(schemas).map(([type, schema]) => [type, { schema }]));
}

function descriptionOf(status: number): string {
  return STATUS_CODES[status] ?? 'An error';
}

/** One component for each status, shared by all operations. */
const PROBLEMS = (() => {
  const cached = new Map<number, ZodOpenApiResponseObject>();
  return (status: number): ZodOpenApiResponseObject => {
    const found = cached.get(status);
    if (found !== undefined) return found;
    const made: ZodOpenApiResponseObject = {
      id: `Problem${status}`,
      description: descriptionOf(status),
      content: { 'application/problem+json': { schema: problem } },
    };
    cached.set(status, made);
    return made;
  };
})();
