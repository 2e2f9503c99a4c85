/** The steps of executions, and the activity: what was done to workflows and lanes, and which executions were begun. */
import type pg from 'pg';
import type { Definition } from '../../domain/definition/definition.ts';
import type { RunStatus, TaskStatus } from '../../domain/runs/run-states.ts';
import type { Definitions } from '../../engine/ports/definitions.ts';
import type { JsonObject } from '../../schemas/json.ts';
import type { Clients } from '../../store/core/database.ts';
import type { ControlEvent } from '../../store/generated/client.ts';
import type { ActivityReader, HistoryReader } from './ports.ts';
import type { ActivityEntry, HistoryStep } from './schemas.ts';

const STEPS_SHOWN = 100;

const STEPS = `
SELECT t.run_id, t.action_id, t.status, t.started_at, t.finished_at
FROM unnest($1::text[], $2::text[]) AS wanted(run_id, action_id) JOIN task t USING (run_id, action_id)`;

// Each of the streams, this one and that of changes, goes on from its own place: both are read in the order of an index, newest first.
const BEGUN = `
SELECT r.id, r.workflow_id, r.workflow_version, w.name, r.status, r.correlation_id, r.user_id, r.created_at, r.finished_at
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
interface BegunRow {
  id: string;
  workflow_id: string;
  workflow_version: number;
  name: string | null;
  status: RunStatus;
  correlation_id: string | null;
  user_id: string;
  created_at: Date;
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

function stepsOf(definition: Definition, rows: readonly StepRow[]): HistoryStep[] {
  const rowById = new Map(rows.map((row) => [row.action_id, row]));
  return definition.actions.slice(0, STEPS_SHOWN).map(({ action_id, action_type, metadata }) => {
    const row = rowById.get(action_id);
    const { op, source } = metadata ?? {};
    return {
      action_id,
      op: typeof op === 'string' ? op : action_type,
      ...(typeof source === 'string' ? { source } : {}),
      status: row?.status ?? 'pending',
      start_time: row?.started_at?.toISOString() ?? null,
      end_time: row?.finished_at?.toISOString() ?? null,
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
        pool.query<BegunRow>(BEGUN, [tenantId, who, execution?.createdAt ?? null, execution?.id ?? null, limit + 1]),
      ]);
      const items: ActivityEntry[] = [];
      const place = { ...after };
      let atChange = 0;
      let atBegun = 0;
      while (items.length < limit) {
        const nextChange = changes[atChange];
        const nextBegun = begun.rows[atBegun];
        if (nextChange !== undefined && (nextBegun === undefined || nextChange.at >= nextBegun.created_at)) {
          items.push(changeEntry(nextChange));
          place.change = `${nextChange.id}`;
          atChange += 1;
        } else if (nextBegun !== undefined) {
          items.push(begunEntry(nextBegun));
          place.execution = { createdAt: nextBegun.created_at.toISOString(), id: nextBegun.id };
          atBegun += 1;
        } else break;
      }
      const more = atChange < changes.length || atBegun < begun.rows.length;
      return { items, next: more ? place : undefined };
    },
  };
}

function changeEntry({ id, subject, subjectId, kind, by, reason, data, at }: ControlEvent): ActivityEntry {
  // An object, where there is one.
  const told = data as JsonObject | null;
  const details = { [`${subject}_id`]: subjectId, ...(reason === null ? {} : { reason }), ...told };
  return { id: `change-${id}`, type: kind, timestamp: at.toISOString(), user_id: by, details };
}

function begunEntry(row: BegunRow): ActivityEntry {
  return {
    id: `execution-${row.id}`,
    type: 'execution.started',
    timestamp: row.created_at.toISOString(),
    user_id: row.user_id,
    details: {
      execution_id: row.id,
      workflow_id: row.workflow_id,
      workflow_version: row.workflow_version,
      workflow_name: row.name,
      status: row.status,
      correlation_id: row.correlation_id,
      finished_at: row.finished_at?.toISOString() ?? null,
    },
  };
}
