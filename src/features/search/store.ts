/** The search of workflows: full text over what the triggers keep in `workflow_search`, and by likeness where that finds nothing. */
import type pg from 'pg';
import { systemAlias } from '../../domain/definition/system-workflow.ts';
import type { WorkflowSummary } from '../../engine/ports/read-models.ts';
import { inTransaction } from '../../store/core/in-transaction.ts';
import { SUMMARY_COLUMNS } from '../../store/runs/workflow-summaries.ts';
import type { WorkflowSearch } from './ports.ts';

/** More matches than that are not put in order: what says so little finds nothing. */
const MAX_RANKED = 10_000;
/** `nigthly` is like `nightly` by 0.375: three of its eight groups of three letters. */
const LIKE_ENOUGH = 0.35;
/** As in the list of workflows: those of the service itself are left out. */
const OF_USERS = `NOT starts_with(s.workflow_id, '${systemAlias('')}')`;
/** Of a match in the description, the actions, the tags, the name. */
const WEIGHTS = '{0.1, 0.3, 0.6, 1.0}';

type Found = { total: number } & (({ rank: number } & WorkflowSummary) | { id: null });

/** `matches` gives workflow_id and rank of all that match. A page behind the last one still tells the total. */
function pageOf(matches: string, limit: string, skip: string): string {
  return `
WITH found AS MATERIALIZED (${matches} LIMIT ${MAX_RANKED})
SELECT (SELECT count(*)::int FROM found) AS total, page.*
FROM (SELECT 1) AS always LEFT JOIN (
  SELECT ${SUMMARY_COLUMNS}, f.rank
  FROM (SELECT * FROM found ORDER BY rank DESC, workflow_id DESC LIMIT ${limit}::int OFFSET ${skip}::int) f
  JOIN workflow w ON w.id = f.workflow_id AND w.deleted_at IS NULL
  JOIN workflow_version v ON v.workflow_id = w.id AND v.version = w.current_version
) page ON true
ORDER BY page.rank DESC, page.id DESC`;
}

const BY_WORDS = pageOf(
  `SELECT s.workflow_id, ts_rank('${WEIGHTS}', s.document, q.q)::float8 AS rank
   FROM workflow_search s, (SELECT to_tsquery('simple', $2) AS q) q WHERE s.tenant_id = $1 AND s.document @@ q.q AND ${OF_USERS}`,
  '$3',
  '$4',
);

/** The words begin at $4. */
function byLikeness(words: readonly string[]): string {
  const each = words.map((_, index) => `$${index + 4}::text`);
  const likeness = each.map((word) => `word_similarity(${word}, lower(s.words))`).join(' + ');
  const alike = each.map((word) => `${word} <% lower(s.words)`).join(' AND ');
  const rank = `((${likeness}) / ${words.length})::float8`;
  return pageOf(
    `SELECT s.workflow_id, ${rank} AS rank FROM workflow_search s WHERE s.tenant_id = $1 AND ${alike} AND ${OF_USERS}`,
    '$2',
    '$3',
  );
}

export function createWorkflowSearch(pool: pg.Pool): WorkflowSearch {
  return {
    async search(tenantId, words, { limit, skip }) {
      // Quoted, so that no word is an operator; they are letters and digits, so none ends its quotes.
      const query = words.map((word) => `'${word}':*`).join(' & ');
      const exact = await pool.query<Found>(BY_WORDS, [tenantId, query, limit, skip]);
      const found = answerOf(exact.rows);
      if (found.total > 0) return { ...found, match: 'words' };
      const similar = await inTransaction(pool, async (client) => {
        const { rowCount } = await client.query(`SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'`);
        if (rowCount === 0) return undefined;
        await client.query(`SELECT set_config('pg_trgm.word_similarity_threshold', '${LIKE_ENOUGH}', true)`);
        return client.query<Found>(byLikeness(words), [tenantId, limit, skip, ...words]);
      });
      const alike = answerOf(similar?.rows ?? []);
      return { ...alike, match: alike.total > 0 ? 'similar' : 'words' };
    },
  };
}

function answerOf(rows: readonly Found[]) {
  const items = rows.flatMap((row) =>
    row.id === null ? [] : [{ ...row, rank: Math.round(row.rank * 10_000) / 10_000 }],
  );
  return { items, total: rows[0]?.total ?? 0 };
}
