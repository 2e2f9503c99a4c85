/** The search of workflows. */

import { OrchestratorError } from '../../domain/errors.ts';
import { presentWorkflowSummary } from '../../http/present/workflows.ts';
import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { pageOf } from '../../http/server/paging.ts';
import { MAX_SEARCH_LENGTH, MAX_SEARCH_WORDS, searchWords } from './domain.ts';
import type { WorkflowSearch } from './ports.ts';
import * as schemas from './schemas.ts';

const DEFAULT_LIMIT = 50;

export const searchWorkflows = operation({
  id: 'searchWorkflows',
  permission: 'workflows:read',
  tag: 'Workflows',
  method: 'get',
  path: '/workflows/search',
  summary: 'Search workflows',
  description:
    'A workflow matches if it contains all the words, each as a prefix of one of its own words. If no workflow does, typing errors are tolerated where the database has pg_trgm. The best matches come first. With more than 10,000 matches, some are ignored.',
  query: schemas.workflowSearchQuery,
  answers: { 200: { description: 'One page of results', schema: schemas.workflowSearchResult } },
});

interface Needs {
  search: WorkflowSearch;
}

export const workflowSearchRoutes = endpoints([searchWorkflows], serve);

function serve(routes: Routes, deps: Needs): void {
  routes.serve(searchWorkflows, async ({ query, caller, response }) => {
    const words = wordsOf(query.q ?? query.query);
    const limit = query.limit ?? query.page_size ?? DEFAULT_LIMIT;
    const skip = (query.page - 1) * limit;
    const found = await deps.search.search(caller.tenantId, words, { limit, skip });
    const { total, match } = found;
    const items = found.items.map((one) => ({ ...presentWorkflowSummary(one), rank: one.rank }));
    sendJson(response, 200, { items, workflows: items, match, ...pageOf(query.page, limit, total) });
  });
}

function wordsOf(written: string | undefined): string[] {
  const words = searchWords(written?.slice(0, MAX_SEARCH_LENGTH + 1) ?? '');
  if (written === undefined) throw fault('is required');
  if (written.length > MAX_SEARCH_LENGTH) throw fault(`must have at most ${MAX_SEARCH_LENGTH} characters`);
  if (words.length === 0) throw fault('must have a letter or a digit');
  if (words.length > MAX_SEARCH_WORDS) throw fault(`must have at most ${MAX_SEARCH_WORDS} words`);
  return words;
}

function fault(message: string): OrchestratorError {
  return new OrchestratorError('invalid_request', `q ${message}`, { errors: [{ path: 'q', message }] });
}
