/** interpreter: what a sentence asks for. */
import { z } from 'zod';
import { type Interpretation, interpret } from '../intents.ts';
import { route, type ServiceDefinition } from '../route.ts';

const INTENTS = [
  'analyze_document',
  'pr_confidence',
  'ingest',
  'summarize',
  'find_document',
  'report',
  'unknown',
] as const satisfies Array<Interpretation['intent']>;

export const interpreter: ServiceDefinition = {
  name: 'interpreter',
  port: 5120,
  description: 'Natural language to intent, confidence and entities, by rules.',
  open: () => ({
    routes: [
      route(
        'post',
        '/query',
        {
          summary: 'What a sentence asks for.',
          input: z.object({
            query: z
              .string()
              .min(1)
              .meta({ examples: ['How confident are we in PR 42 of octo/shop?'] }),
          }),
          answer: z.object({
            query: z.string(),
            intent: z.enum(INTENTS),
            confidence: z.number().min(0).max(1),
            entities: z.array(
              z.object({ type: z.enum(['url', 'pr_number', 'repository', 'ticket', 'source']), value: z.string() }),
            ),
          }),
        },
        ({ input: { query } }) => ({ query, ...interpret(query) }),
      ),
    ],
  }),
};
