/** Workflows and their versions. A version never changes; a deleted workflow keeps its rows, so that its history stays. */
import type { Definition } from '../../domain/definition/definition.ts';
import { SYSTEM_TAG, SYSTEM_USER, systemAlias } from '../../domain/definition/system-workflow.ts';
import { FAILED_RUNS } from '../../domain/runs/run-states.ts';
import type {
  StoredWorkflow,
  UpdateOutcome,
  WorkflowChange,
  WorkflowFilter,
  WorkflowStatus,
  WorkflowStore,
  WorkflowSummary,
  WorkflowVersion,
} from '../../engine/ports/read-models.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import { columnsOf } from '../core/columns.ts';
import { sqlList } from '../core/states.ts';
import { Prisma, type PrismaClient, type WorkflowVersion as VersionRow } from '../generated/client.ts';
import { canaryOf, promoteCanary, setCanary } from './canary.ts';
import { FIRST_TURN_SECONDS, OPERATION_KEPT } from './control-operations.ts';
import { SUMMARY_COLUMNS } from './workflow-summaries.ts';

/** Of a workflow with more of them the older ones say little about its versions of now. */
const RUNS_COUNTED = 100_000;

const STORED = {
  ...{ id: true, status: true, currentVersion: true, canaryVersion: true, canaryPercent: true },
  ...{ createdBy: true, createdAt: true, updatedAt: true },
};
type Row = Prisma.WorkflowGetPayload<{ select: typeof STORED }> & Pick<VersionRow, 'version' | 'definition'>;

/** Of the service itself; of one name those of users come first. */
const OF_SYSTEM = Prisma.sql`starts_with(w.id, ${systemAlias('')})`;
const COLUMNS = Prisma.raw(`${columnsOf(STORED, { table: 'w' })}, v.version, v.definition`);

export function createWorkflowStore(prisma: PrismaClient, newId: () => string): WorkflowStore {
  async function find(
    tenantId: string,
    which: Prisma.Sql,
    version: number | undefined,
  ): Promise<StoredWorkflow | undefined> {
    const rows = await prisma.$queryRaw<Row[]>`
      SELECT ${COLUMNS} FROM workflow w
      JOIN workflow_version v ON v.workflow_id = w.id AND v.version = coalesce(${version ?? null}::int, w.current_version)
      WHERE w.tenant_id = ${tenantId} AND w.deleted_at IS NULL AND ${which}
      ORDER BY ${OF_SYSTEM}, w.created_at DESC, w.id DESC LIMIT 1`;
    return rows[0] === undefined ? undefined : toStored(rows[0]);
  }
  const byId = (id: string) => Prisma.sql`w.id = ${id}`;

  return {
    async create(tenantId, userId, definition) {
      const id = newId();
      const [made] = await prisma.$transaction([
        prisma.workflow.create({
          data: {
            id,
            tenantId,
            createdBy: userId,
            ...shownFields(definition),
            versions: { create: { version: 1, definition: asJson(definition), createdBy: userId } },
          },
        }),
        prisma.controlEvent.create({ data: changeEvent({ tenantId, userId }, id, 'created', 1) }),
      ]);
      const { createdAt, updatedAt } = made;
      return {
        id,
        version: 1,
        currentVersion: 1,
        status: 'active',
        definition,
        createdBy: userId,
        createdAt,
        updatedAt,
      };
    },

    find: (tenantId, id, version) => find(tenantId, byId(id), version),

    async resolve(tenantId, idOrName, version) {
      return (
        (await find(tenantId, byId(idOrName), version)) ??
        (await find(tenantId, Prisma.sql`w.name = ${idOrName}`, version))
      );
    },

    async existed(tenantId, id) {
      return (await prisma.workflow.count({ where: { tenantId, id } })) > 0;
    },

    async list(tenantId, filter) {
      const where = conditions(tenantId, filter);
      const [rows, counted] = await Promise.all([
        prisma.$queryRaw<WorkflowSummary[]>`
          SELECT ${Prisma.raw(SUMMARY_COLUMNS)}
          FROM (SELECT * FROM workflow w WHERE ${where} ORDER BY w.created_at DESC, w.id DESC
                LIMIT ${filter.page_size}::bigint OFFSET ${(filter.page - 1) * filter.page_size}::bigint) w
          JOIN workflow_version v ON v.workflow_id = w.id AND v.version = w.current_version
          ORDER BY w.created_at DESC, w.id DESC`,
        prisma.$queryRaw<Array<{ total: number }>>`SELECT count(*)::int AS total FROM workflow w WHERE ${where}`,
      ]);
      return { items: rows, total: counted[0]?.total ?? 0 };
    },

    async versions(tenantId, id, page, pageSize) {
      const found = await prisma.workflow.findFirst({
        where: { tenantId, id, deletedAt: null },
        select: { currentVersion: true, newestVersion: true, canaryVersion: true, canaryPercent: true },
      });
      if (found === null) return undefined;
      const rows = await prisma.$queryRaw<Array<Omit<WorkflowVersion, 'isCurrent' | 'canaryPercent'>>>`
        WITH counted AS (
          SELECT r.workflow_version AS version, count(*)::int AS runs,
                 (count(*) FILTER (WHERE r.status = 'completed'))::int AS completed,
                 (count(*) FILTER (WHERE r.status IN ${Prisma.raw(sqlList(FAILED_RUNS))}))::int AS failed
          FROM (SELECT workflow_version, status FROM run WHERE tenant_id = ${tenantId} AND workflow_id = ${id}
                ORDER BY created_at DESC, id DESC LIMIT ${RUNS_COUNTED}::bigint) r
          GROUP BY r.workflow_version
        )
        SELECT v.version, coalesce(c.runs, 0) AS runs, coalesce(c.completed, 0) AS completed, coalesce(c.failed, 0) AS failed, v.definition ->> 'name' AS name, v.definition ->> 'description' AS description,
               jsonb_array_length(v.definition -> 'actions') AS actions, v.created_by AS "createdBy", v.created_at AS "createdAt"
        FROM workflow_version v LEFT JOIN counted c ON c.version = v.version WHERE v.workflow_id = ${id}
        ORDER BY v.version DESC LIMIT ${pageSize}::bigint OFFSET ${(page - 1) * pageSize}::bigint`;
      // Versions are numbered without gaps, so the newest number is their count.
      return {
        items: rows.map((row) => ({
          ...row,
          isCurrent: row.version === found.currentVersion,
          canaryPercent: row.version === found.canaryVersion ? found.canaryPercent : null,
        })),
        total: Math.max(found.currentVersion, found.newestVersion),
      };
    },

    update: (tenantId, userId, id, change) => update(prisma, { tenantId, userId }, id, change),
    setCanary: (tenantId, id, canary) => setCanary(prisma, tenantId, id, canary),
    promoteCanary: (tenantId, id) => promoteCanary(prisma, tenantId, id),

    async remove({ tenantId, userId }, id, operationId) {
      // One statement: a run that is accepted at the same time is seen, or sees that the workflow is gone.
      const removed = await prisma.$queryRaw<Array<{ cancelling: boolean }>>`
        WITH gone AS (
          UPDATE workflow w SET deleted_at = now(), updated_at = now()
          WHERE w.tenant_id = ${tenantId} AND w.id = ${id} AND w.deleted_at IS NULL
            AND (${operationId ?? null}::text IS NOT NULL OR NOT EXISTS (
              SELECT 1 FROM run r WHERE r.tenant_id = w.tenant_id AND r.workflow_id = w.id AND NOT r.final))
          RETURNING w.id, w.name
        ), told AS (
          INSERT INTO control_event (tenant_id, by, subject, subject_id, kind, data)
          SELECT ${tenantId}, ${userId}, 'workflow', id, 'workflow.deleted', jsonb_build_object('name', name) FROM gone
        ), live AS (
          SELECT count(*)::int AS total FROM run r
          WHERE ${operationId ?? null}::text IS NOT NULL AND r.tenant_id = ${tenantId} AND r.workflow_id = ${id} AND NOT r.final
        ), before AS (
          UPDATE control_operation o SET status = 'superseded', finished_at = now()
          WHERE o.tenant_id = ${tenantId} AND o.workflow_id = ${id} AND o.finished_at IS NULL AND EXISTS (SELECT FROM gone)
        ), operation AS (
          INSERT INTO control_operation (id, tenant_id, workflow_id, kind, reason, requested_by, total, expires_at, due_at)
          SELECT ${operationId ?? null}, ${tenantId}, gone.id, 'cancel', 'The workflow was deleted', ${userId}, live.total,
                 now() + ${Prisma.raw(OPERATION_KEPT)}, now() + make_interval(secs => ${FIRST_TURN_SECONDS}::float8)
          FROM gone, live WHERE live.total > 0 RETURNING id
        )
        SELECT EXISTS (SELECT FROM operation) AS cancelling FROM gone`;
      if (removed[0] !== undefined) return removed[0].cancelling ? 'cancelling' : 'removed';
      return (await prisma.workflow.count({ where: { tenantId, id, deletedAt: null } })) > 0 ? 'active' : 'unknown';
    },
  };
}

type ChangedBy = Pick<Caller, 'tenantId' | 'userId'>;

async function update(prisma: PrismaClient, by: ChangedBy, id: string, change: WorkflowChange): Promise<UpdateOutcome> {
  const { tenantId, userId } = by;
  const { expectedVersion, definition, status, canaryPercent } = change;
  const changed = await prisma.$transaction(async (transaction) => {
    // The row's lock lets one change through at a time; the others find another version.
    const [locked] = await transaction.$queryRaw<Array<{ newest: number; was: string }>>`
      SELECT greatest(current_version, newest_version) AS newest, status AS was FROM workflow
      WHERE tenant_id = ${tenantId} AND id = ${id} AND deleted_at IS NULL AND current_version = ${expectedVersion} FOR UPDATE`;
    if (locked === undefined) return undefined;
    const version = definition === undefined ? expectedVersion : locked.newest + 1;
    await transaction.workflow.update({
      where: { id },
      data: {
        ...(definition === undefined ? {} : { newestVersion: version }),
        ...(definition === undefined ? {} : placeOf(definition, version, canaryPercent)),
        ...(status === undefined ? {} : { status }),
        ...(definition === undefined && status === undefined ? {} : { updatedAt: new Date() }),
      },
    });
    if (status !== undefined && locked.was !== status) {
      const kind = status === 'active' ? 'workflow.resumed' : `workflow.${status}`;
      await transaction.controlEvent.create({
        data: { tenantId, by: userId, subject: 'workflow', subjectId: id, kind },
      });
    }
    if (definition !== undefined) {
      await transaction.workflowVersion.create({
        data: { workflowId: id, version, definition: asJson(definition), createdBy: userId },
      });
      await transaction.controlEvent.create({ data: changeEvent(by, id, 'updated', version) });
    }
    const workflow = await transaction.workflow.findFirstOrThrow({
      where: { id },
      include: { versions: { where: { version } } },
    });
    const [changed] = workflow.versions;
    if (changed === undefined) throw new Error(`version ${version} of workflow ${id} is not stored`);
    return { ...workflow, version, definition: changed.definition };
  });
  if (changed === undefined) {
    const now = await prisma.workflow.findFirst({
      where: { tenantId, id, deletedAt: null },
      select: { currentVersion: true },
    });
    return now === null ? { done: 'unknown' } : { done: 'stale', version: now.currentVersion };
  }
  return { done: 'updated', workflow: toStored(changed) };
}

function conditions(tenantId: string, filter: WorkflowFilter): Prisma.Sql {
  const { status, created_by, tag, tags, name, name_contains } = filter;
  const parts = [Prisma.sql`w.tenant_id = ${tenantId} AND w.deleted_at IS NULL`];
  const asked = tag === SYSTEM_TAG || tags?.includes(SYSTEM_TAG) === true || created_by === SYSTEM_USER;
  if (!asked) parts.push(Prisma.sql`NOT ${OF_SYSTEM}`);
  if (status !== undefined) parts.push(Prisma.sql`w.status = ${status}`);
  if (created_by !== undefined) parts.push(Prisma.sql`w.created_by = ${created_by}`);
  if (tag !== undefined) parts.push(Prisma.sql`w.tags @> ARRAY[${tag}]::text[]`);
  if (tags !== undefined && tags.length > 0) parts.push(Prisma.sql`w.tags @> ${tags}::text[]`);
  for (const part of [name, name_contains])
    if (part !== undefined) parts.push(Prisma.sql`strpos(lower(w.name), lower(${part})) > 0`);
  return Prisma.join(parts, ' AND ');
}

/** Among the activity; `GET /control-events` tells of pauses alone. */
function changeEvent({ tenantId, userId: by }: ChangedBy, id: string, what: 'created' | 'updated', version: number) {
  return { tenantId, by, subject: 'workflow', subjectId: id, kind: `workflow.${what}`, data: { version } };
}

/** What a new version becomes: the current one, or the one that is tried out. */
function placeOf(definition: Definition, version: number, canaryPercent: number | undefined) {
  return canaryPercent === undefined
    ? { ...shownFields(definition), currentVersion: version }
    : { canaryVersion: version, canaryPercent };
}

/** What lists show and filter by lies in columns as well. */
function shownFields(definition: Definition): { name: string; description: string | null; tags: string[] } {
  return { name: definition.name, description: definition.description ?? null, tags: definition.tags };
}

/** A definition is JSON; its interface has no index signature to say so. */
function asJson(definition: Definition): Prisma.InputJsonValue {
  return definition as unknown as Prisma.InputJsonValue;
}

function toStored(row: Row): StoredWorkflow {
  return {
    id: row.id,
    version: row.version,
    currentVersion: row.currentVersion,
    canary: canaryOf(row),
    status: row.status as WorkflowStatus, // Only these are ever written.
    // What a version holds went in as a Definition.
    definition: row.definition as unknown as Definition,
    createdBy: row.createdBy,
    createdAt: row.createdAt,
    updatedAt: row.updatedAt,
  };
}
