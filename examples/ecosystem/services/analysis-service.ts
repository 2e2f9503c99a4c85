/** analysis_service: what a text is like, and how well a pull request fits its requirements. */
import { z } from 'zod';
import { confidence, confidenceOf, type PullRequest, pullRequest } from '../confidence.ts';
import { type Call, Refusal, route, type ServiceDefinition } from '../route.ts';
import { analyseText, overlapOf, round, termsOf } from '../text.ts';

const document = z.looseObject({ content: z.string(), id: z.string().optional(), title: z.string().optional() });
const analysis = z.object({
  words: z.int(),
  sentences: z.int(),
  reading_ease: z.number(),
  grade: z.number(),
  quality_score: z.int(),
  missing: z.array(z.string()),
  keywords: z.array(z.string()),
  duplicates: z.array(z.tuple([z.int(), z.int()])),
  flags: z.array(z.string()),
});
const analyses = analysis.extend({
  documents: z.array(analysis.extend({ id: z.string(), title: z.string().optional() })).optional(),
  similar: z
    .array(z.object({ left: z.string(), right: z.string(), overlap: z.number() }))
    .optional()
    .meta({ description: 'Documents that have most of their terms in common' }),
});
const issue = z.looseObject({ acceptance_criteria: z.array(z.string()).default([]) });
const aboutPullRequest = z.object({
  pr_data: pullRequest,
  jira_data: issue.nullish().meta({ description: 'The issue with its acceptance criteria' }),
  requirements: z.array(z.string()).default([]),
});
const fetched = z.object({ content: z.string() });

const SIMILAR = 0.6;

export const analysisService: ServiceDefinition = {
  name: 'analysis_service',
  port: 5020,
  description: 'Readability, quality and keywords of texts; confidence in pull requests.',
  open: () => ({
    routes: [
      route(
        'post',
        '/analyze',
        {
          summary: 'Analyses a text, one at a URL, or several documents.',
          input: z.object({
            content: z.string().optional(),
            url: z.string().optional(),
            documents: z
              .union([z.array(document), z.looseObject({ documents: z.array(document) })])
              .optional()
              .meta({ description: 'A list, or what source_agent answers to /ingest' }),
          }),
          answer: analyses,
        },
        async (call) => {
          const { documents } = call.input;
          if (documents !== undefined) return analyseAll(Array.isArray(documents) ? documents : documents.documents);
          return analyseText(call.input.content ?? (await contentAt(call.input.url, call)));
        },
      ),
      route(
        'post',
        '/calculate_confidence',
        { summary: 'How well a pull request fits its requirements.', input: aboutPullRequest, answer: confidence },
        ({ input }) => confidenceIn(input),
      ),
      route(
        'post',
        '/pr_confidence',
        {
          summary: 'The same, with the pull request and the issue in one answer.',
          input: aboutPullRequest,
          answer: confidence.extend({ pr_number: z.int().nullable(), ticket: z.string().nullable() }),
        },
        ({ input }) => ({
          pr_number: input.pr_data.number ?? null,
          ticket: typeof input.jira_data?.['key'] === 'string' ? input.jira_data['key'] : null,
          ...confidenceIn(input),
        }),
      ),
    ],
  }),
};

function confidenceIn({
  pr_data,
  jira_data,
  requirements,
}: {
  pr_data: PullRequest;
  jira_data?: z.output<typeof issue> | null | undefined;
  requirements: string[];
}) {
  return confidenceOf(pr_data, [...(jira_data?.acceptance_criteria ?? []), ...requirements]);
}

async function contentAt(url: string | undefined, { ask }: Call<unknown>): Promise<string> {
  if (url === undefined) throw new Refusal(400, 'content, url or documents is required');
  return fetched.parse(await ask('source_agent', 'POST', '/fetch', { url })).content;
}

function analyseAll(documents: ReadonlyArray<z.output<typeof document>>): z.input<typeof analyses> {
  const named = documents.map(({ id, title, content }, place) => ({ id: id ?? String(place), title, content }));
  const terms = named.map(({ content }) => termsOf(content));
  const similar = named.flatMap(({ id: left }, place) =>
    named.slice(place + 1).flatMap(({ id: right }, further) => {
      const overlap = round(overlapOf(terms[place] ?? [], terms[place + 1 + further] ?? []));
      return overlap >= SIMILAR ? [{ left, right, overlap }] : [];
    }),
  );
  return {
    ...analyseText(named.map(({ content }) => content).join('\n\n')),
    documents: named.map(({ id, title, content }) => ({ id, title, ...analyseText(content) })),
    similar,
  };
}
