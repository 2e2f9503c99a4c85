/** Reads late effects. There are few of them, so they are found by their order alone. */
import type pg from 'pg';
import type { LateEffect, LateEffectReader, SeenLateEffect } from '../../engine/ports/late-effects.ts';
import type { Json } from '../../schemas/json.ts';

const MAX_OF_RUN = 1_000;

const OF_RUN = `
SELECT l.action_id, l.attempt, l.epoch, l.at, l.worker, l.compensation, l.output
FROM late_effect l JOIN run r ON r.id = l.run_id WHERE r.tenant_id = $1 AND l.run_id = $2 ORDER BY l.id LIMIT ${MAX_OF_RUN}`;

const LIST = `
SELECT l.id::text AS id, l.run_id, r.status, l.action_id, l.attempt, l.epoch, l.at, l.worker, l.compensation
FROM late_effect l JOIN run r ON r.id = l.run_id
WHERE r.tenant_id = $1 AND ($2::text IS NULL OR l.run_id = $2) AND ($3::text IS NULL OR l.action_id = $3)
  AND ($4::text IS NULL OR coalesce(l.compensation, 'null') = $4) AND ($5::bigint IS NULL OR l.id < $5)
ORDER BY l.id DESC LIMIT $6`;

interface Raw {
  action_id: string;
  attempt: number;
  epoch: number;
  at: Date;
  worker: string | null;
  compensation: 'due' | 'started' | null;
}

const WORDS = { true: 'started', false: 'due', null: 'null' } as const;

export function createLateEffectReader(pool: pg.Pool): LateEffectReader {
  return {
    async list(tenantId, { runId, actionId, compensated }, { limit, before }) {
      const word = compensated === undefined ? null : WORDS[compensated];
      const values = [tenantId, runId ?? null, actionId ?? null, word, before ?? null, limit + 1];
      const { rows } = await pool.query<Raw & { id: string; run_id: string; status: string }>({
        name: 'list-late-effects',
        text: LIST,
        values,
      });
      const items = rows
        .slice(0, limit)
        .map(({ id, run_id: runId, status: runStatus, ...raw }) => ({ id, runId, runStatus, ...seenIn(raw) }));
      return { items, more: rows.length > limit };
    },
    ofRun: (tenantId, runId) => readLateEffects(pool, tenantId, runId),
  };
}

export async function readLateEffects(pool: pg.Pool, tenantId: string, runId: string): Promise<LateEffect[]> {
  const { rows } = await pool.query<Raw & { output: Json }>({
    name: 'late-effects-of-run',
    text: OF_RUN,
    values: [tenantId, runId],
  });
  return rows.map(({ output, ...raw }) => ({ ...seenIn(raw), output }));
}

function seenIn({ action_id: actionId, attempt, epoch, at, worker, compensation }: Raw): SeenLateEffect {
  const compensated = compensation === null ? null : compensation === 'started';
  return { actionId, attempt, epoch, at, worker, compensated };
}
