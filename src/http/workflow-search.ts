/** The search of workflows. */
import { OrchestratorError } from '../domain/errors.ts';
import { MAX_SEARCH_LENGTH, MAX_SEARCH_WORDS, searchWords } from '../domain/search-words.ts';
import * as schemas from '../schemas/workflow-search.ts';
import type { HttpDeps } from './deps.ts';
import { operation, type Routes, sendJson } from './operation.ts';
import { pageOf } from './paging.ts';

const DEFAULT_LIMIT = 50;

export const searchWorkflows = operation({
  id: 'searchWorkflows',
  permission: 'workflows:read',
  tag: 'Workflows',
  method: 'get',
  path: '/workflows/search',
  summary: 'Workflows by words, best first',
  description:
    'A workflow is found when it has all the words, each as the beginning of one of its own. When none has them, typing ' +
    'errors are forgiven where the database has pg_trgm. Of more than 10,000 matches some are passed over.',
  query: schemas.workflowSearchQuery,
  answers: { 200: { description: 'One page', schema: schemas.workflowSearchResult } },
  problems: [400, 401],
});

export function workflowSearchRoutes(routes: Routes, deps: HttpDeps): void {
  routes.serve(searchWorkflows, async ({ query, caller, response }) => {
    const words = wordsOf(query.q ?? query.query);
    const limit = query.limit ?? query.page_size ?? DEFAULT_LIMIT;
    const skip = (query.page - 1) * limit;
    const { items, total, match } = await deps.catalog.search.search(caller.tenantId, words, { limit, skip });
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
