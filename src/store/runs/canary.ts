/** The version of a workflow that gets a share of the executions. Each change is one statement on the workflow's row. */
import type { Canary } from '../../domain/runs/canary.ts';
import type { CanaryOutcome } from '../../engine/ports/read-models.ts';
import type { PrismaClient, Workflow } from '../generated/client.ts';

export function canaryOf({
  canaryVersion: version,
  canaryPercent: percent,
}: Pick<Workflow, 'canaryVersion' | 'canaryPercent'>): Canary | undefined {
  return version === null || percent === null ? undefined : { version, percent };
}

export async function setCanary(
  prisma: PrismaClient,
  tenantId: string,
  id: string,
  canary: Canary | undefined,
): Promise<CanaryOutcome> {
  const { version = null, percent = null } = canary ?? {};
  const set = await prisma.$executeRaw`
    UPDATE workflow w SET canary_version = ${version}::int, canary_percent = ${percent}::int, updated_at = now()
    WHERE w.tenant_id = ${tenantId} AND w.id = ${id} AND w.deleted_at IS NULL
      AND (${version}::int IS NULL OR (w.current_version <> ${version}::int
        AND EXISTS (SELECT 1 FROM workflow_version v WHERE v.workflow_id = w.id AND v.version = ${version}::int)))`;
  if (set > 0) return 'done';
  const found = await prisma.workflow.findFirst({
    where: { tenantId, id, deletedAt: null },
    select: { currentVersion: true },
  });
  if (found === null) return 'unknown';
  return found.currentVersion === version ? 'is_current' : 'no_such_version';
}

export async function promoteCanary(prisma: PrismaClient, tenantId: string, id: string): Promise<number | undefined> {
  // The canary may be older than the current version: the number of the newest one is kept, or it would be given again.
  const [promoted] = await prisma.$queryRaw<Array<{ version: number }>>`
    UPDATE workflow w SET current_version = v.version, newest_version = greatest(w.newest_version, w.current_version),
      name = v.definition ->> 'name', description = v.definition ->> 'description',
      tags = ARRAY(SELECT jsonb_array_elements_text(v.definition -> 'tags')),
      canary_version = NULL, canary_percent = NULL, updated_at = now()
    FROM workflow_version v
    WHERE w.tenant_id = ${tenantId} AND w.id = ${id} AND w.deleted_at IS NULL
      AND v.workflow_id = w.id AND v.version = w.canary_version
    RETURNING w.current_version AS version`;
  return promoted?.version;
}
