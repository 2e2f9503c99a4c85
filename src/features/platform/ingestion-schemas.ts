/** Requests and responses of ingestion. */
import { z } from 'zod';
import { RUN, text, time, WHEN } from '../../schemas/answer-shapes.ts';
import { jsonObject } from '../../schemas/requests.ts';

const MAX_SOURCES = 100;
export const DEFAULT_SOURCES = ['github', 'jira', 'confluence', 'swagger'];
/** Words of older clients; 1 is first. */
const PRIORITIES = { urgent: 1, critical: 1, high: 25, normal: 50, medium: 50, low: 75 } as const;
const words = Object.keys(PRIORITIES) as Array<keyof typeof PRIORITIES>; // The keys of a literal object.

const source = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/, 'must be 1 to 100 letters, digits and _ . -')
  .meta({
    description: 'The source, fetched by the service `<source>_agent` or else by `source_agent`',
    example: 'github',
  });
const scope = jsonObject.nullish().meta({ description: 'Passed to the agent unchanged', example: { repo: 'a/b' } });
const correlationId = text.min(1).max(255).nullish();

export const ingestRequest = z
  .strictObject({ source, scope, correlation_id: correlationId })
  .meta({ id: 'IngestRequest', example: { source: 'github', scope: { repo: 'a/b' } } });

const links = z.object({ execution: text, events: text, result: text });
const LINKS = {
  execution: `/workflows/executions/${RUN}`,
  events: `/workflows/executions/${RUN}/events`,
  result: `/result/${RUN}`,
};

export const ingestAnswer = z
  .object({
    status: z.literal('accepted'),
    source: text,
    correlation_id: text,
    trace_id: text,
    execution_id: text,
    timestamp: time,
    links,
  })
  .meta({
    id: 'IngestAnswer',
    example: {
      status: 'accepted',
      source: 'github',
      correlation_id: 'weekly',
      trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
      execution_id: RUN,
      timestamp: WHEN,
      links: LINKS,
    },
  });

export const runWorkflowRequest = z
  .strictObject({
    correlation_id: correlationId,
    scope,
    sources: z
      .array(source)
      .min(1)
      .max(MAX_SOURCES)
      .refine((names) => new Set(names).size === names.length, 'must name each source once')
      .nullish()
      .meta({ description: `The sources; ${DEFAULT_SOURCES.join(', ')} by default` }),
    workflow_id: text.min(1).max(255).nullish().meta({ description: 'Runs this workflow instead of an ingestion' }),
    workflow_type: text.min(1).max(255).nullish().meta({
      description: 'Name of the workflow, instead of its id; `multi_source_ingestion` is the ingestion',
    }),
    parameters: jsonObject.nullish().meta({ description: 'The version of that workflow' }),
    priority: z
      .union([z.int().min(1).max(100), z.enum(words).transform((word): number => PRIORITIES[word])], {
        error: `must be a whole number from 1 (first) to 100, or one of ${words.join(', ')}`,
      })
      .nullish(),
  })
  .refine(({ workflow_id, workflow_type }) => workflow_id == null || workflow_type == null, {
    error: 'workflow_id and workflow_type exclude each other',
    path: ['workflow_type'],
  })
  .meta({ id: 'RunWorkflowRequest', example: { sources: ['github', 'jira'], scope: {} } });

export const runWorkflowAnswer = z
  .object({
    status: z.literal('started'),
    steps: z.array(z.object({ op: text, source: text, status: text })),
    correlation_id: text,
    saga_id: text.meta({ description: 'The id of the execution: GET /infrastructure/saga/{saga_id}' }),
    execution_id: text,
    links: links.extend({ saga: text }),
  })
  .meta({
    id: 'RunWorkflowAnswer',
    example: {
      status: 'started',
      steps: [{ op: 'ingest', source: 'github', status: 'pending' }],
      correlation_id: 'weekly',
      saga_id: RUN,
      execution_id: RUN,
      links: { ...LINKS, saga: `/infrastructure/saga/${RUN}` },
    },
  });
