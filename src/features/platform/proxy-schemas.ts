/** Requests and responses of the endpoints for other services: document store, report service, secure analyzer. */
import { z } from 'zod';
import { count, json, object, text, time, WHEN } from '../../schemas/answer-shapes.ts';
import { id } from '../../schemas/ids.ts';
import { jsonObject } from '../../schemas/requests.ts';

const HASH = /^(?:sha256:)?[0-9a-f]{64}$/i;

export const saveDocumentRequest = z
  .strictObject({
    id: id.nullish().meta({
      description: 'A document with this id is replaced; by default a new document is created',
      example: 'doc-7',
    }),
    content: z.string().meta({ description: 'At most 1 MiB (413)', example: 'The text' }),
    content_hash: z
      .string()
      .regex(HASH, 'must be the SHA-256 of the content, in hex')
      .nullish()
      .meta({ description: 'SHA-256 of the content, in hex; a mismatch is rejected (400)' }),
    metadata: jsonObject.nullish().meta({ example: { owner: 'ann' } }),
  })
  .meta({ id: 'SaveDocumentRequest', example: { content: 'The text', metadata: { owner: 'ann' } } });

const DOCUMENT = {
  id: 'doc-7',
  content_hash: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  created_at: WHEN,
};
export const savedDocument = z
  .object({ id: text, content_hash: text, created_at: time })
  .meta({ id: 'SavedDocument', example: DOCUMENT });
/** Of any document store, which may leave out the time. */
export const savedOutput = z.object({ id: text, content_hash: text, created_at: text.nullable() });

export const storedDocument = z
  .object({
    id: text,
    content: text,
    content_hash: text,
    metadata: object.nullable(),
    created_at: time,
    updated_at: time,
  })
  .meta({
    id: 'StoredDocument',
    example: { ...DOCUMENT, content: 'test', metadata: null, updated_at: WHEN },
  });

export const REPORT_PATHS = {
  generate: '/reports/generate',
  life_of_ticket: '/reports/life-of-ticket',
  pr_confidence: '/reports/pr_confidence',
} as const;
export const reportRequest = z
  .strictObject({
    kind: z.enum(['generate', 'life_of_ticket', 'pr_confidence']),
    format: z.string().min(1).max(100).nullish().meta({ description: 'Forwarded with the payload', example: 'json' }),
    payload: jsonObject
      .nullish()
      .meta({ description: 'Request payload for the report service', example: { ticket: 'AB-1' } }),
  })
  .meta({ id: 'ReportRequest', example: { kind: 'life_of_ticket', payload: { ticket: 'AB-1' } } });
export const reportAnswer = json.meta({
  id: 'Report',
  example: { report: 'The summary' },
  description: 'The response of the report service',
});

export const suggestRequest = z
  .strictObject({
    content: z.string().min(1).meta({ example: 'The text to summarize' }),
    keywords: z
      .array(z.string().max(1_000))
      .max(1_000)
      .nullish()
      .meta({ example: ['client name'] }),
    keyword_document: z.string().nullish(),
    override_policy: z
      .boolean()
      .nullish()
      .meta({ description: 'Any model may read the text, whatever the policy says' }),
  })
  .meta({ id: 'SuggestSummaryRequest', example: { content: 'The text to summarize' } });

export const suggestAnswer = z
  .object({
    suggestion: object.meta({ description: 'The policy decision: which models may read the text' }),
    result: object.meta({ description: 'The summary' }),
    policy_override: z.boolean(),
    providers_used: z
      .array(z.object({ name: text }))
      .nullable()
      .meta({ description: 'Null: any provider, by override_policy' }),
    suggestions: z.array(json),
  })
  .meta({
    id: 'SuggestSummary',
    example: {
      suggestion: { sensitive: true, allowed_models: ['bedrock'] },
      result: { summaries: { bedrock: 'Short.' } },
      policy_override: false,
      providers_used: [{ name: 'bedrock' }],
      suggestions: [],
    },
  });

export const demoRequest = z
  .strictObject({
    format: z
      .string()
      .min(1)
      .max(100)
      .nullish()
      .meta({ description: 'Format of the report service; `json` by default' }),
    log_service: z.string().min(1).max(255).nullish().meta({ description: 'Only lines of this service' }),
    log_level: z.string().min(1).max(20).nullish().meta({ description: 'Only lines of this level', example: 'error' }),
    log_limit: z
      .int()
      .min(1)
      .max(1_000)
      .nullish()
      .meta({ description: 'Number of lines, the newest ones; 100 by default' }),
  })
  .meta({ id: 'DemoRequest', example: { format: 'json', log_limit: 50 } });

const counts = z.record(text, count);
export const demoAnswer = z
  .object({
    summary: z.object({ total: count, by_severity: counts }),
    log_analysis: z.object({
      overview: z.object({ count, by_level: counts }),
      sample: z.array(z.object({ service: text, level: text, message: text })),
    }),
  })
  .meta({
    id: 'Demo',
    example: {
      summary: { total: 3, by_severity: { low: 2, med: 1 } },
      log_analysis: {
        overview: { count: 12, by_level: { info: 9, warn: 2, error: 1 } },
        sample: [{ service: 'orchestrator', level: 'info', message: 'workflow run requested' }],
      },
    },
  });
