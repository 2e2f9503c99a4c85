/** What the search of workflows takes and answers. */
import { z } from 'zod';
import { exampleOf, pageExample, paging } from '../../schemas/answer-shapes.ts';
import { limit, page } from '../../schemas/requests.ts';
import { workflowSummary } from '../../schemas/workflow-answers.ts';

export const workflowSearchQuery = z.object({
  q: z.string().optional().meta({
    description:
      'Search words, matched as prefixes in the name, the tags, the actions (id, name, type) or the description',
    example: 'document',
  }),
  query: z.string().optional().meta({ description: 'Older name of `q`' }),
  page,
  limit: limit.optional(),
  page_size: limit.optional().meta({ description: 'Alias of `limit`' }),
});

const found = workflowSummary
  .extend({ rank: z.number().meta({ description: 'Relevance; the best matches come first' }) })
  .meta({ id: 'FoundWorkflow', example: { ...(exampleOf(workflowSummary) as object), rank: 0.6 } });

export const workflowSearchResult = z
  .object({
    items: z.array(found),
    workflows: z.array(found),
    match: z.enum(['words', 'similar']).meta({
      description:
        '`similar`: no workflow has all the words; these have similar words (where the database has pg_trgm)',
    }),
    ...paging,
  })
  .meta({
    id: 'WorkflowSearchResult',
    example: { ...pageExample(found), workflows: [exampleOf(found)], match: 'words' },
  });
