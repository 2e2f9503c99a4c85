/** doc_store: documents in PostgreSQL, in a schema of its own, and what is wrong with them. */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { z } from 'zod';
import { Refusal, route, type ServiceDefinition } from '../route.ts';
import { analyseText, sha256 } from '../text.ts';

const stored = z.object({ id: z.string(), content_hash: z.string(), created_at: z.string() });
const document = stored.extend({
  content: z.string(),
  metadata: z.record(z.string(), z.unknown()),
  updated_at: z.string(),
});

const TABLES = `
CREATE SCHEMA IF NOT EXISTS doc_store;
CREATE TABLE IF NOT EXISTS doc_store.document (
  id text PRIMARY KEY,
  content text NOT NULL,
  content_hash text NOT NULL,
  metadata jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS document_by_hash ON doc_store.document (content_hash);
CREATE INDEX IF NOT EXISTS document_by_age ON doc_store.document (created_at DESC, id);
`;
/** Any number will do that nobody else takes: two that start at once must not make the same tables at once. */
const SETUP_LOCK = 5087;
const MOST_CONNECTIONS = 4;
const DEFAULT_LIMIT = 100;

interface Row {
  id: string;
  content: string;
  content_hash: string;
  metadata: Record<string, unknown>;
  created_at: Date;
  updated_at: Date;
}

export const docStore: ServiceDefinition = {
  name: 'doc_store',
  port: 5087,
  description: 'Documents in PostgreSQL, and what is wrong with them.',
  async open({ databaseUrl }) {
    if (databaseUrl === undefined) {
      throw new Error('doc_store needs a database: start the orchestrator with `npm start`, or set DATABASE_URL.');
    }
    const db = new pg.Pool({ connectionString: databaseUrl, max: MOST_CONNECTIONS, application_name: 'doc_store' });
    db.on('error', () => undefined); // The next query connects anew.
    await db.query(`BEGIN; SELECT pg_advisory_xact_lock(${SETUP_LOCK}); ${TABLES} COMMIT;`);
    return {
      close: () => db.end(),
      routes: [
        route(
          'post',
          '/documents',
          {
            summary: 'Stores a document; one with the same id is replaced.',
            input: z.object({
              id: z.string().min(1).max(255).nullish(),
              content: z.string(),
              content_hash: z.string().nullish().meta({ description: 'Left out: the SHA-256 of the content' }),
              metadata: z.record(z.string(), z.unknown()).nullish(),
            }),
            answer: stored,
            status: 201,
          },
          async ({ input, idempotencyKey }) => {
            // A task that is tried again has the same key, so it stores the same document and not a second one.
            const made = idempotencyKey === undefined ? randomUUID() : sha256(idempotencyKey).slice(0, 24);
            const { rows } = await db.query<Row>(
              `INSERT INTO doc_store.document (id, content, content_hash, metadata) VALUES ($1, $2, $3, $4)
               ON CONFLICT (id) DO UPDATE SET content = $2, content_hash = $3, metadata = $4, updated_at = now()
               RETURNING *`,
              [
                input.id ?? `doc-${made}`,
                input.content,
                input.content_hash ?? sha256(input.content),
                input.metadata ?? {},
              ],
            );
            return toDocument(only(rows));
          },
        ),
        route(
          'get',
          '/documents/quality',
          {
            summary: 'The documents with their flags, newest first.',
            input: z.object({ limit: z.coerce.number().int().min(1).max(1_000).default(DEFAULT_LIMIT) }),
            answer: z.object({
              items: z.array(
                stored.extend({
                  flags: z.array(z.string()),
                  quality_score: z.int(),
                  duplicates: z.int().meta({ description: 'Other documents with the same content' }),
                  metadata: z.record(z.string(), z.unknown()),
                }),
              ),
              total: z.int(),
            }),
          },
          async ({ input: { limit } }) => {
            const { rows } = await db.query<Row & { copies: number; total: number }>(
              `SELECT d.*, (SELECT count(*)::int FROM doc_store.document o WHERE o.content_hash = d.content_hash) - 1 AS copies,
                      count(*) OVER ()::int AS total
               FROM doc_store.document d ORDER BY d.created_at DESC, d.id LIMIT $1`,
              [limit],
            );
            return { items: rows.map(withFlags), total: rows[0]?.total ?? 0 };
          },
        ),
        route(
          'get',
          '/documents/{id}',
          { summary: 'A document.', input: z.object({ id: z.string() }), answer: document },
          async ({ input: { id } }) => {
            const { rows } = await db.query<Row>('SELECT * FROM doc_store.document WHERE id = $1', [id]);
            if (rows[0] === undefined) throw new Refusal(404, `there is no document ${id}`);
            return toDocument(rows[0]);
          },
        ),
      ],
    };
  },
};

function only(rows: readonly Row[]): Row {
  const [row] = rows;
  if (row === undefined) throw new Error('PostgreSQL returned no row for what it stored');
  return row;
}

function toDocument(row: Row): z.input<typeof document> {
  return { ...row, created_at: row.created_at.toISOString(), updated_at: row.updated_at.toISOString() };
}

function withFlags({ id, content, content_hash, metadata, created_at, copies }: Row & { copies: number }) {
  const { flags, quality_score } = analyseText(content);
  return {
    id,
    content_hash,
    metadata,
    created_at: created_at.toISOString(),
    quality_score,
    duplicates: copies,
    flags: copies > 0 ? [...flags, 'duplicate'] : flags,
  };
}
