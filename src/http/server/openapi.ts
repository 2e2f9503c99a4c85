/** The OpenAPI document, written from the operations that are served and the schemas that check them. */
import type { ZodType } from 'zod';
import {
  createDocument,
  type oas31,
  type ZodOpenApiPathsObject,
  type ZodOpenApiResponseObject,
  type ZodOpenApiResponsesObject,
} from 'zod-openapi';
import { PERMISSIONS } from '../../domain/access.ts';
import { FLOW, RUN } from '../../schemas/answer-shapes.ts';
import { createProblemResponses, otherProblems, type ProblemResponses, problemExamples } from './openapi-problems.ts';
import { securityOf, securitySchemes } from './openapi-security.ts';
import { componentsOf, referenceTo, type Socket, socketPath } from './openapi-sockets.ts';
import { type Answer, MAX_ID_LENGTH, type Operation } from './operation.ts';

export interface ApiDescription {
  version: string;
  /** Undefined: the document is of no particular address. */
  serverUrl: string | undefined;
  /** Where browsers log in; undefined: an example. */
  issuer?: string | undefined;
  sockets?: readonly Socket[];
}

export function createApiDocument(operations: readonly Operation[], options: ApiDescription): oas31.OpenAPIObject {
  const { sockets = [] } = options;
  const problems = createProblemResponses();
  const others = otherProblems();
  const paths: ZodOpenApiPathsObject = {};
  for (const op of operations) {
    paths[op.path] = { ...paths[op.path], [op.method]: describeOperation(op, problems) };
  }
  for (const socket of sockets) paths[socket.path] = socketPath(socket);
  return createDocument({
    openapi: '3.1.1',
    info: {
      title: 'Orchestrator',
      version: options.version,
      description:
        'A durable workflow orchestrator. Every response has the headers `X-Request-Id` and `traceparent`, and `X-Correlation-ID` if the request had it. ' +
        'Every path also works with a trailing slash. Errors are RFC 9457 problem documents. `x-permission` names the permission that an operation requires, `x-events` the schemas of the data of an event stream, `x-websocket` what is sent over a WebSocket, and `x-responses-of-no-operation` what is answered where nothing is served or the request cannot be read.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: options.serverUrl ?? '/' }],
    tags: [
      { name: 'Tasks', description: 'Single-task API: start tasks, get their results, and serve external workers' },
      { name: 'Workflows', description: 'Workflow definitions, their versions and templates' },
      { name: 'Executions', description: 'Executions of workflows, and their control' },
      { name: 'Sessions', description: 'Agent sessions, each an execution, and several agents together' },
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
    security: securityOf({ permission: 'authenticated' }),
    paths,
    'x-permissions': PERMISSIONS,
    'x-responses-of-no-operation': Object.fromEntries(
      Object.keys(others).map((name) => [name.slice(-3), { $ref: `#/components/responses/${name}` }]),
    ),
    components: {
      schemas: componentsOf([...eventsOf(operations), ...sockets.map(({ messages }) => messages)]),
      responses: others,
      examples: problemExamples(operations),
      securitySchemes: securitySchemes(options.issuer),
    },
  });
}

function describeOperation(
  op: Operation,
  problems: ProblemResponses,
): NonNullable<ZodOpenApiPathsObject[string]['get']> {
  const body = op.bodyDocument ?? op.body;
  // A schema of a query is always one of an object.
  const query = op.query as NonNullable<NonNullable<ZodOpenApiPathsObject[string]['get']>['requestParams']>['query'];
  return {
    operationId: op.id,
    tags: [op.tag],
    summary: op.summary,
    ...(op.description === undefined ? {} : { description: op.description }),
    'x-permission': op.permission,
    // What holds for most of them is said once, at the top.
    ...(op.permission === 'public' || op.signedBy !== undefined ? { security: securityOf(op) } : {}),
    parameters: [...pathParameters(op), ...headerParameters(op)],
    ...(query === undefined ? {} : { requestParams: { query } }),
    ...(body === undefined ? {} : { requestBody: describeBody(op, body) }),
    responses: responses(op, problems),
  };
}

function describeBody({ bodyOptional, bodyOthers = {} }: Operation, body: ZodType) {
  return { required: bodyOptional !== true, content: contentOf({ 'application/json': body, ...bodyOthers }) };
}

/** By the name of a parameter of a path; what is not here is an id that the service made. */
const PATH_EXAMPLES: Readonly<Record<string, string>> = {
  ...{ workflow_id: FLOW, tenant_id: 'default', trace_id: '4bf92f3577b34da6a3ce929d0e0e4736', action_id: 'review' },
  ...{ action_type: 'service_call', name: 'analysis_service', service_name: 'analysis_service', from: '1', to: '2' },
};

function pathParameters(op: Operation): oas31.ParameterObject[] {
  return [...op.path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => ({
    in: 'path',
    name,
    required: true,
    schema: { type: 'string', maxLength: op.lengths?.[name] ?? MAX_ID_LENGTH },
    example: op.pathExamples?.[name] ?? PATH_EXAMPLES[name] ?? RUN,
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

/** The middleware answers a browser that has no session. */
const LOGIN: ZodOpenApiResponseObject = {
  id: 'LoginRedirect',
  description: 'Redirects a browser without a session to the login, where one is configured',
};

/** A status of an answer can be one of a problem too: then it has the content of both. */
function responses(op: Operation, problems: ProblemResponses): ZodOpenApiResponsesObject {
  const described = new Map<number, ZodOpenApiResponseObject>(problems(op));
  if (op.method === 'get' && op.permission !== 'public') described.set(302, LOGIN);
  for (const [status, answer] of Object.entries(op.answers)) {
    const own = describeAnswer(answer);
    const other = described.get(Number(status))?.content;
    described.set(Number(status), other === undefined ? own : { ...own, content: { ...own.content, ...other } });
  }
  return Object.fromEntries(
    [...described].sort(([a], [b]) => a - b).map(([status, response]) => [`${status}`, response]),
  ) as ZodOpenApiResponsesObject;
}

function describeAnswer({ description, headers, ...rest }: Answer): ZodOpenApiResponseObject {
  const content = contentOfAnswer(rest);
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
    ...(content === undefined ? {} : { content }),
  };
}

function contentOfAnswer({ schema, mediaType = 'application/json', others, events }: Omit<Answer, 'description'>) {
  if (schema === undefined) return undefined;
  const streamed = events === undefined ? {} : { 'x-events': eventReferences(events) };
  return { [mediaType]: { schema, ...streamed }, ...contentOf(others ?? {}) };
}

function contentOf(schemas: Record<string, ZodType>): Record<string, { schema: ZodType }> {
  return Object.fromEntries(Object.entries(schemas).map(([type, schema]) => [type, { schema }]));
}

/** OpenAPI 3.1 has no word for the events of a stream: their schemas are components, named beside the stream. */
function eventReferences(events: NonNullable<Answer['events']>): Record<string, { $ref: string }> {
  return Object.fromEntries(Object.entries(events).map(([name, schema]) => [name, referenceTo(schema)]));
}

function eventsOf(operations: readonly Operation[]): ZodType[] {
  return operations.flatMap((op) => Object.values(op.answers).flatMap(({ events = {} }) => Object.values(events)));
}
