/** Groups of failures, read and marked. A tenant has at most a thousand, so they are filtered where they lie. */
import type { RunStatus } from '../../domain/runs/run-states.ts';
import type { Clients } from '../../store/core/database.ts';
import type { ErrorGroup as Row } from '../../store/generated/client.ts';
import type { ErrorGroup, ErrorGroupStore, GroupDetails, GroupOrder, GroupState, GroupWindow } from './error-groups.ts';

/** Of a group, to find the newest runs among. */
const FAILURES_LOOKED_AT = 500;
const RECENT_RUNS = 20;

// When it was resolved is compared with when it was seen last, by the clock of the database alone.
const SET_STATE = `
UPDATE error_group SET state = $3, state_by = $4, state_at = now() WHERE tenant_id = $1 AND fingerprint = $2`;

const RECENT = `
SELECT f.run_id, r.status, count(*)::int AS failures, max(f.at) AS last_at FROM (
  SELECT run_id, at FROM task_failure WHERE tenant_id = $1 AND fingerprint = $2 ORDER BY at DESC LIMIT ${FAILURES_LOOKED_AT}
) f JOIN run r ON r.id = f.run_id AND r.tenant_id = $1
GROUP BY f.run_id, r.status ORDER BY max(f.at) DESC, f.run_id LIMIT ${RECENT_RUNS}`;

const HOURS = `
SELECT h.at AS from, count(f.at)::int AS failures
FROM generate_series(date_trunc('hour', now()) - interval '23 hours', date_trunc('hour', now()), interval '1 hour') AS h(at)
LEFT JOIN task_failure f ON f.tenant_id = $1 AND f.fingerprint = $2 AND f.at >= h.at AND f.at < h.at + interval '1 hour'
GROUP BY h.at ORDER BY h.at`;

interface RawRecent {
  run_id: string;
  status: RunStatus;
  failures: number;
  last_at: Date;
}

export function createErrorGroupStore({ pool, prisma }: Clients): ErrorGroupStore {
  async function find(tenantId: string, fingerprint: string): Promise<ErrorGroup | undefined> {
    const row = await prisma.errorGroup.findFirst({ where: { tenantId, fingerprint } });
    return row === null ? undefined : toGroup(row);
  }
  return {
    async list(tenantId, { state, workflowId, actionType, from, to }, { order, limit, after }) {
      const where = {
        tenantId,
        ...(state === undefined ? {} : { state }),
        ...(workflowId === undefined ? {} : { workflowId }),
        ...(actionType === undefined ? {} : { actionType }),
        ...(from === undefined ? {} : { lastSeen: { gte: asSeen(from) } }),
        ...(to === undefined ? {} : { firstSeen: { lt: asSeen(to) } }),
      };
      const [rows, total] = await Promise.all([
        prisma.errorGroup.findMany({
          where: after === undefined ? where : { AND: [where, behind(order, after)] },
          orderBy: [order === 'count' ? { failedAttempts: 'desc' } : { lastSeen: 'desc' }, { fingerprint: 'desc' }],
          take: limit + 1,
        }),
        prisma.errorGroup.count({ where }),
      ]);
      return { items: rows.slice(0, limit).map(toGroup), total, more: rows.length > limit };
    },
    async find(tenantId, fingerprint): Promise<Omit<GroupDetails, 'waiting'> | undefined> {
      const group = await find(tenantId, fingerprint);
      if (group === undefined) return undefined;
      const key = [tenantId, fingerprint];
      const [recent, hours] = await Promise.all([
        pool.query<RawRecent>(RECENT, key),
        pool.query<{ from: Date; failures: number }>(HOURS, key),
      ]);
      return {
        ...group,
        recent: recent.rows.map(({ run_id: runId, status, failures, last_at: lastAt }) => ({
          runId,
          status,
          failures,
          lastAt,
        })),
        hours: hours.rows,
      };
    },
    async setState({ tenantId, userId }, fingerprint, state) {
      const { rowCount } = await pool.query(SET_STATE, [tenantId, fingerprint, state, userId]);
      return rowCount === 0 ? undefined : find(tenantId, fingerprint);
    },
  };
}

/** Nothing was seen before 1970, and PostgreSQL does not read years before 1 as the client writes them. */
function asSeen(moment: Date): Date {
  return new Date(Math.max(0, moment.getTime()));
}

/** What comes after it in the list. */
function behind(order: GroupOrder, { value, fingerprint }: NonNullable<GroupWindow['after']>) {
  const next = { fingerprint: { lt: fingerprint } };
  if (order === 'count') return { OR: [{ failedAttempts: { lt: value } }, { failedAttempts: value, ...next }] };
  const lastSeen = new Date(value);
  return { OR: [{ lastSeen: { lt: lastSeen } }, { lastSeen, ...next }] };
}

function toGroup({ failedAttempts, failedTasks, runs, state, tenantId: _, ...row }: Row): ErrorGroup {
  return {
    ...row,
    failedAttempts: Number(failedAttempts),
    failedTasks: Number(failedTasks),
    runs: Number(runs),
    state: state as GroupState, // No other word is ever written.
  };
}
