/** The steps of executions, and the activity: what was done to workflows and lanes, and which executions were started. */
import type pg from 'pg';
import type { Definition } from '../../domain/definition/definition.ts';
import type { TaskStatus } from '../../domain/runs/run-states.ts';
import type { Definitions } from '../../engine/ports/definitions.ts';
import type { JsonObject } from '../../schemas/json.ts';
import type { Clients } from '../../store/core/database.ts';
import type { Activity, ActivityReader, HistoryReader, Start, StoredStep } from './ports.ts';

const STEPS_SHOWN = 100;

const STEPS = `
SELECT t.run_id, t.action_id, t.status, t.started_at, t.finished_at
FROM unnest($1::text[], $2::text[]) AS wanted(run_id, action_id) JOIN task t USING (run_id, action_id)`;

// Each of the streams, this one and that of changes, goes on from its own place: both are read in the order of an index, newest first.
const BEGUN = `
SELECT r.id, r.workflow_id AS "workflowId", r.workflow_version AS "workflowVersion", w.name AS "workflowName", r.status,
  r.correlation_id AS "correlationId", r.user_id AS "userId", r.created_at AS "createdAt", r.finished_at AS "finishedAt"
FROM (
  SELECT * FROM run WHERE tenant_id = $1 AND workflow_id IS NOT NULL AND ($2::text IS NULL OR user_id = $2)
    AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4)) ORDER BY created_at DESC, id DESC LIMIT $5
) r LEFT JOIN workflow w ON w.id = r.workflow_id ORDER BY r.created_at DESC, r.id DESC`;

interface StepRow {
  run_id: string;
  action_id: string;
  status: TaskStatus;
  started_at: Date | null;
  finished_at: Date | null;
}

export function createHistoryReader(pool: pg.Pool, definitions: Pick<Definitions, 'load'>): HistoryReader {
  return {
    async steps(runs) {
      const loaded = await Promise.all(
        runs.flatMap(({ id: run, workflowId: workflow_id, workflowVersion: version }) =>
          workflow_id === null || version === null
            ? []
            : [definitions.load({ workflow_id, version }).then((definition) => ({ run, definition }))],
        ),
      );
      const wanted = loaded.flatMap(({ run, definition }) =>
        definition.actions.slice(0, STEPS_SHOWN).map(({ action_id }) => ({ run, action_id })),
      );
      const { rows } = await pool.query<StepRow>(STEPS, [
        wanted.map(({ run }) => run),
        wanted.map(({ action_id }) => action_id),
      ]);
      const rowsOf = new Map<string, StepRow[]>(runs.map(({ id }) => [id, []]));
      for (const row of rows) rowsOf.get(row.run_id)?.push(row);
      return new Map(
        loaded.map(({ run, definition }) => [
          run,
          { steps: stepsOf(definition, rowsOf.get(run) ?? []), total: definition.actions.length },
        ]),
      );
    },
  };
}

function stepsOf(definition: Definition, rows: readonly StepRow[]): StoredStep[] {
  const rowById = new Map(rows.map((row) => [row.action_id, row]));
  return definition.actions.slice(0, STEPS_SHOWN).map(({ action_id, action_type, metadata }) => {
    const row = rowById.get(action_id);
    const { op, source } = metadata ?? {};
    return {
      actionId: action_id,
      op: typeof op === 'string' ? op : action_type,
      source: typeof source === 'string' ? source : undefined,
      status: row?.status ?? 'pending',
      startedAt: row?.started_at ?? null,
      finishedAt: row?.finished_at ?? null,
    };
  });
}

export function createActivityReader({ pool, prisma }: Clients): ActivityReader {
  return {
    async list(tenantId, { userId, limit, after }) {
      const { change, execution } = after;
      const who = userId ?? null;
      const [changes, begun] = await Promise.all([
        prisma.controlEvent.findMany({
          where: {
            tenantId,
            ...(userId === undefined ? {} : { by: userId }),
            ...(change === undefined ? {} : { id: { lt: BigInt(change) } }),
          },
          orderBy: { id: 'desc' },
          take: limit + 1,
        }),
        pool.query<Start>(BEGUN, [tenantId, who, execution?.createdAt ?? null, execution?.id ?? null, limit + 1]),
      ]);
      const items: Activity[] = [];
      const place = { ...after };
      let atChange = 0;
      let atBegun = 0;
      while (items.length < limit) {
        const nextChange = changes[atChange];
        const nextBegun = begun.rows[atBegun];
        if (nextChange !== undefined && (nextBegun === undefined || nextChange.at >= nextBegun.createdAt)) {
          // An object, where there is one.
          items.push({ change: { ...nextChange, data: nextChange.data as JsonObject | null } });
          place.change = `${nextChange.id}`;
          atChange += 1;
        } else if (nextBegun !== undefined) {
          items.push({ start: nextBegun });
          place.execution = { createdAt: nextBegun.createdAt, id: nextBegun.id };
          atBegun += 1;
        } else break;
      }
      const more = atChange < changes.length || atBegun < begun.rows.length;
      return { items, next: more ? place : undefined };
    },
  };
}
