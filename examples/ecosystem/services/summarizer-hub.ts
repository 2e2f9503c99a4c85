/** summarizer_hub: asks several models for a summary and says where they agree. */
import { z } from 'zod';
import { Refusal, route, type ServiceDefinition } from '../route.ts';
import { overlapOf, round, sentencesOf, termsOf } from '../text.ts';

const answered = z.object({ choices: z.array(z.object({ message: z.object({ content: z.string() }) })).min(1) });
const document = z.looseObject({ content: z.string() });

const PROVIDERS = ['local-extractive', 'local-lead'];
const MOST_SENTENCES = 20;

export const summarizerHub: ServiceDefinition = {
  name: 'summarizer_hub',
  port: 5060,
  description: 'Summaries by several models, and where they agree.',
  open: () => ({
    routes: [
      route(
        'post',
        '/summarize',
        {
          summary: 'Summarises a text.',
          input: z.object({
            content: z.unknown().optional().meta({ description: 'A text, or anything with texts in it' }),
            text: z.string().optional().meta({ description: 'Another word for content' }),
            documents: z.array(document).optional(),
            providers: z.array(z.string()).min(1).default(PROVIDERS),
            max_sentences: z.int().min(1).max(MOST_SENTENCES).default(3),
          }),
          answer: z.object({
            summary: z.string(),
            providers_used: z.array(z.string()),
            summaries: z.record(z.string(), z.string()),
            agreed: z.array(z.string()).meta({ description: 'Sentences that are in the summary of every provider' }),
            agreement: z.number().min(0).max(1),
          }),
        },
        async ({ input, ask }) => {
          const given = input.content ?? input.text ?? input.documents?.map((document) => document.content);
          if (given === undefined) throw new Refusal(400, 'content is required');
          const content = textsIn(given).join('\n\n');
          const texts = await Promise.all(
            input.providers.map(async (model) => {
              const messages = [
                { role: 'system', content: `Summarise what follows in ${input.max_sentences} sentences.` },
                { role: 'user', content },
              ];
              const answer = await ask('llm_gateway', 'POST', '/v1/chat/completions', { model, messages });
              return answered.parse(answer).choices[0]?.message.content ?? '';
            }),
          );
          const [first = '', ...others] = texts;
          return {
            summary: first,
            providers_used: input.providers,
            summaries: Object.fromEntries(input.providers.map((model, place) => [model, texts[place] ?? ''])),
            agreed: sentencesOf(first).filter((sentence) => others.every((text) => text.includes(sentence))),
            agreement: round(Math.min(1, ...others.map((text) => overlapOf(termsOf(first), termsOf(text))))),
          };
        },
      ),
    ],
  }),
};

/** All texts in a value, in their order. */
function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
}
