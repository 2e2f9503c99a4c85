/** What the search of workflows takes and answers. */
import { z } from 'zod';
import { paging } from './answer-shapes.ts';
import { limit, page } from './requests.ts';
import { workflowSummary } from './workflow-answers.ts';

export const workflowSearchQuery = z.object({
  q: z.string().optional().meta({
    description:
      'Words, each from its beginning: in the name, the tags, the actions (id, name, type) or the description',
    example: 'document',
  }),
  query: z.string().optional().meta({ description: 'Older name of q' }),
  page,
  limit: limit.optional(),
  page_size: limit.optional().meta({ description: 'Another name of limit' }),
});

const found = workflowSummary
  .extend({ rank: z.number().meta({ description: 'How well it fits; the best come first' }) })
  .meta({ id: 'FoundWorkflow' });

export const workflowSearchResult = z
  .object({
    items: z.array(found),
    workflows: z.array(found),
    match: z.enum(['words', 'similar']).meta({
      description: '`similar`: nothing has all the words; these have words like them (where the database has pg_trgm)',
    }),
    ...paging,
  })
  .meta({ id: 'WorkflowSearchResult' });
