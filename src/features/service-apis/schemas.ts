/** Requests and responses of the API about the OpenAPI documents of services. */
import { z } from 'zod';
import { count, json, object, text, time, WHEN } from '../../schemas/answer-shapes.ts';

const HASH = '6b23c0d5f35d1b11f9b683f0b0a617355deb11277d91ae091d399c655b87940d';

export const pollRequest = z
  .strictObject({
    services: z
      .array(z.string().min(1).max(255))
      .max(1_000)
      .optional()
      .meta({
        description: 'Names of services; by default, or when empty, all registered or configured services',
        example: ['analysis_service'],
      }),
    timeout_seconds: z
      .number()
      .positive()
      .max(60)
      .optional()
      .meta({ description: 'Timeout of each attempt; 8 by default' }),
  })
  .meta({ id: 'PollOpenApiRequest', example: { services: ['analysis_service'] } });

const change = z
  .object({
    where: text.meta({ description: 'Such as `query.page`, `body.title`, `response.200.id` or `operation`' }),
    breaking: z.boolean(),
    message: text,
  })
  .meta({ id: 'OperationChange' });
const changedOperation = z
  .object({ operation: text, breaking: z.boolean(), changes: z.array(change) })
  .meta({ id: 'ChangedOperation' });

const drift = {
  added: z.array(text).meta({ description: 'Added operations, such as `GET /documents`' }),
  removed: z.array(text),
  changed_operations: z.array(changedOperation),
  breaking: z.boolean().meta({ description: 'Whether clients of the previous document may fail' }),
  operations: count.meta({ description: 'Number of operations now' }),
};
const driftExample = {
  added: ['GET /documents/{id}'],
  removed: [],
  changed_operations: [
    {
      operation: 'POST /documents',
      breaking: true,
      changes: [{ where: 'body.title', breaking: true, message: 'is required now' }],
    },
  ],
  breaking: true,
  operations: 2,
};

const polled = z
  .object({
    service: text,
    changed: z.boolean().meta({
      description: 'Whether the document differs from the previous one; the first document counts as changed',
    }),
    hash: text.meta({ description: 'SHA-256 of the document as JSON with sorted keys' }),
    ...drift,
  })
  .meta({ id: 'PolledService' });
const notPolled = z
  .object({ service: text, error: text.meta({ description: 'Why there is no document' }) })
  .meta({ id: 'ServiceNotPolled' });
export const pollResults = z.object({ results: z.array(z.union([polled, notPolled])) }).meta({
  id: 'PollOpenApiResults',
  example: {
    results: [
      { service: 'analysis_service', changed: true, hash: HASH, ...driftExample },
      { service: 'source_agent', error: "the document of 'source_agent' answered 404" },
    ],
  },
});

export const serviceDocument = z
  .object({
    service: text,
    url: text,
    hash: text,
    title: text.nullable(),
    version: text.nullable(),
    operations: count,
    fetched_at: time.meta({ description: 'When it was last fetched, whether it changed or not' }),
    changed_at: time,
    document: object,
  })
  .meta({
    id: 'ServiceDocument',
    example: {
      service: 'analysis_service',
      url: 'http://analysis:8080/openapi.json',
      hash: HASH,
      title: 'Analysis',
      version: '1.2.0',
      operations: 0,
      fetched_at: WHEN,
      changed_at: WHEN,
      document: { openapi: '3.1.0', info: { title: 'Analysis', version: '1.2.0' }, paths: {} },
    },
  });

const parameter = z
  .object({ name: text, in: z.enum(['path', 'query', 'header', 'cookie']), required: z.boolean(), schema: json })
  .meta({ id: 'OperationParameter' });
const operation = z
  .object({
    operation_id: text.meta({ description: 'The id that `service_call` uses for it' }),
    method: text,
    path: text,
    summary: text.nullable(),
    deprecated: z.boolean(),
    parameters: z.array(parameter),
    body: z.object({ required: z.boolean(), media_type: text, schema: json }).nullable(),
  })
  .meta({ id: 'ServiceOperation' });
export const serviceOperations = z.object({ service: text, items: z.array(operation), count }).meta({
  id: 'ServiceOperations',
  example: {
    service: 'analysis_service',
    items: [
      {
        operation_id: 'analyze',
        method: 'POST',
        path: '/analyze',
        summary: null,
        deprecated: false,
        parameters: [],
        body: { required: true, media_type: 'application/json', schema: { type: 'object' } },
      },
    ],
    count: 1,
  },
});

export const driftQuery = z.object({
  limit: z.coerce.number<string>().int().min(1).max(100).default(20).meta({ example: 20 }),
});
const driftItem = z
  .object({
    at: time,
    from_hash: text.nullable().meta({ description: 'Null: there was no previous document' }),
    hash: text,
    ...drift,
  })
  .meta({ id: 'ServiceDriftItem' });
export const serviceDrift = z.object({ service: text, items: z.array(driftItem), count }).meta({
  id: 'ServiceDrift',
  example: {
    service: 'analysis_service',
    items: [{ at: WHEN, from_hash: HASH, hash: HASH, ...driftExample }],
    count: 1,
  },
});

export type PollRequest = z.infer<typeof pollRequest>;
