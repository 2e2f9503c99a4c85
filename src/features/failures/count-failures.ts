/**
 * Counts failed attempts in their groups. A failure is written with the commit of its attempt (commit.ts), which is accepted
 * once, and taken into its group in one transaction: so it is counted once, whatever is delivered again. One process at a
 * time does it, off the way of the tasks. docs/decisions/0052-failures-are-counted-behind.md has the alternatives.
 */
import type pg from 'pg';
import { inTransaction } from '../../store/core/in-transaction.ts';
import { textPayload } from '../../store/payloads/payloads.ts';
import { createPlatformEvents } from '../events/event-log-store.ts';
import { type FailureCounter, type Identified, identify, OVERFLOW, type Regression } from './error-groups.ts';

/** Any constant will do, as long as it is ours alone in the database. */
const COUNTING_LOCK = 7_202_652;
export const MAX_GROUPS = 1_000;

const ANY = 'SELECT FROM task_failure WHERE fingerprint IS NULL LIMIT 1';
const NOTHING = { counted: 0, regressed: [] };

const TAKE = `
SELECT run_id, action_id, epoch, attempt, tenant_id, workflow_id, action_type, final, error, at
FROM task_failure WHERE fingerprint IS NULL ORDER BY at LIMIT $1 FOR UPDATE SKIP LOCKED`;

const EXISTING = `
SELECT k.tenant_id, k.fingerprint FROM unnest($1::text[], $2::text[]) AS k(tenant_id, fingerprint)
JOIN error_group g ON g.tenant_id = k.tenant_id AND g.fingerprint = k.fingerprint`;

// The longest resolved go first, to make room for what happens now.
const MAKE_ROOM = `
DELETE FROM error_group g USING (
  SELECT fingerprint FROM error_group WHERE tenant_id = $1 AND state = 'resolved' AND fingerprint <> ALL ($3)
  ORDER BY last_seen LIMIT $2
) old WHERE g.tenant_id = $1 AND g.fingerprint = old.fingerprint`;

const RUNS_BEFORE = `
SELECT DISTINCT run_id, fingerprint FROM task_failure WHERE run_id = ANY ($1) AND fingerprint = ANY ($2)`;

const REGRESSED = `
SELECT g.tenant_id, g.fingerprint FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS k(tenant_id, fingerprint, last_seen)
JOIN error_group g ON g.tenant_id = k.tenant_id AND g.fingerprint = k.fingerprint
WHERE g.state = 'resolved' AND g.state_at < k.last_seen`;

const COUNT = `
INSERT INTO error_group AS g (tenant_id, fingerprint, action_type, workflow_id, action_id, code, template, message, run_id,
                              failed_attempts, failed_tasks, runs, first_seen, last_seen)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
                     $10::bigint[], $11::bigint[], $12::bigint[], $13::timestamptz[], $14::timestamptz[])
ON CONFLICT (tenant_id, fingerprint) DO UPDATE SET
  failed_attempts = g.failed_attempts + EXCLUDED.failed_attempts, failed_tasks = g.failed_tasks + EXCLUDED.failed_tasks,
  runs = g.runs + EXCLUDED.runs, first_seen = least(g.first_seen, EXCLUDED.first_seen),
  message = CASE WHEN EXCLUDED.last_seen >= g.last_seen THEN EXCLUDED.message ELSE g.message END,
  run_id = CASE WHEN EXCLUDED.last_seen >= g.last_seen THEN EXCLUDED.run_id ELSE g.run_id END,
  last_seen = greatest(g.last_seen, EXCLUDED.last_seen),
  regressions = g.regressions + CASE WHEN g.state = 'resolved' AND g.state_at < EXCLUDED.last_seen THEN 1 ELSE 0 END,
  state_at = CASE WHEN g.state = 'resolved' AND g.state_at < EXCLUDED.last_seen THEN now() ELSE g.state_at END,
  state_by = CASE WHEN g.state = 'resolved' AND g.state_at < EXCLUDED.last_seen THEN NULL ELSE g.state_by END,
  state = CASE WHEN g.state = 'resolved' AND g.state_at < EXCLUDED.last_seen THEN 'open' ELSE g.state END`;

// In its group the failure needs no text of its own any more: the attempt has it.
const MARK = `
UPDATE task_failure f SET fingerprint = k.fingerprint, error = NULL
FROM unnest($1::text[], $2::text[], $3::int[], $4::int[], $5::text[]) AS k(run_id, action_id, epoch, attempt, fingerprint)
WHERE f.run_id = k.run_id AND f.action_id = k.action_id AND f.epoch = k.epoch AND f.attempt = k.attempt`;

interface RawFailure {
  run_id: string;
  action_id: string;
  epoch: number;
  attempt: number;
  tenant_id: string;
  workflow_id: string | null;
  action_type: string;
  final: boolean;
  error: { code?: unknown; message?: unknown } | null;
  at: Date;
}

interface Counted {
  tenantId: string;
  of: Identified;
  failures: RawFailure[];
}

export function createFailureCounter(pool: pg.Pool, maxGroups = MAX_GROUPS): FailureCounter {
  return {
    async count(limit) {
      // There are none most of the time, and to find that out takes no transaction.
      if ((await pool.query({ name: 'any-uncounted-failure', text: ANY })).rowCount === 0) return NOTHING;
      return inTransaction(pool, async (client) => {
        const lock = await client.query<{ mine: boolean }>('SELECT pg_try_advisory_xact_lock($1) AS mine', [
          COUNTING_LOCK,
        ]);
        if (lock.rows[0]?.mine !== true) return undefined;
        const { rows } = await client.query<RawFailure>({ name: 'uncounted-failures', text: TAKE, values: [limit] });
        if (rows.length === 0) return NOTHING;
        const groups = await withinBounds(client, grouped(rows), maxGroups);
        const regressed = await count(client, groups);
        return { counted: rows.length, regressed };
      });
    },
  };
}

function grouped(rows: readonly RawFailure[]): Counted[] {
  const groups = new Map<string, Counted>();
  for (const row of rows) {
    const { tenant_id: tenantId, workflow_id: workflowId, action_type: actionType, action_id: actionId, error } = row;
    add(groups, tenantId, identify({ tenantId, workflowId, actionType, actionId, error }), [row]);
  }
  return [...groups.values()];
}

function add(groups: Map<string, Counted>, tenantId: string, of: Identified, failures: RawFailure[]): void {
  const key = JSON.stringify([tenantId, of.fingerprint]);
  const group = groups.get(key) ?? { tenantId, of, failures: [] };
  group.failures.push(...failures);
  // The newest says what it is like.
  group.of = of;
  groups.set(key, group);
}

/** A tenant whose messages are all different must not fill the database with groups. */
async function withinBounds(client: pg.PoolClient, found: Counted[], maxGroups: number): Promise<Counted[]> {
  const { rows } = await client.query<{ tenant_id: string; fingerprint: string }>(EXISTING, [
    found.map(({ tenantId }) => tenantId),
    found.map(({ of }) => of.fingerprint),
  ]);
  const existing = new Set(rows.map((row) => JSON.stringify([row.tenant_id, row.fingerprint])));
  const bounded = new Map<string, Counted>();
  for (const tenantId of new Set(found.map((group) => group.tenantId))) {
    const own = found.filter((group) => group.tenantId === tenantId);
    const exists = ({ of }: Counted) => existing.has(JSON.stringify([tenantId, of.fingerprint]));
    let room = await roomFor(client, own, own.filter((group) => !exists(group)).length, { tenantId, maxGroups });
    for (const group of own) {
      if (!exists(group)) room -= 1;
      add(bounded, tenantId, exists(group) || room >= 0 ? group.of : OVERFLOW, group.failures);
    }
  }
  return [...bounded.values()];
}

async function roomFor(
  client: pg.PoolClient,
  own: readonly Counted[],
  requested: number,
  { tenantId, maxGroups }: { tenantId: string; maxGroups: number },
): Promise<number> {
  if (requested === 0) return 0;
  const { rows } = await client.query<{ groups: number }>(
    `SELECT count(*)::int AS groups FROM error_group WHERE tenant_id = $1 AND fingerprint <> '${OVERFLOW.fingerprint}'`,
    [tenantId],
  );
  const room = maxGroups - (rows[0]?.groups ?? 0);
  if (room >= requested) return room;
  const seen = own.map(({ of }) => of.fingerprint);
  const { rowCount } = await client.query(MAKE_ROOM, [tenantId, requested - Math.max(0, room), seen]);
  return room + (rowCount ?? 0);
}

async function count(client: pg.PoolClient, groups: readonly Counted[]): Promise<Regression[]> {
  const inOrder = [...groups].sort(
    (a, b) => compare(a.tenantId, b.tenantId) || compare(a.of.fingerprint, b.of.fingerprint),
  );
  const column = <T>(pick: (group: Counted) => T): T[] => inOrder.map(pick);
  const tenants = column(({ tenantId }) => tenantId);
  const fingerprints = column(({ of }) => of.fingerprint);
  const all = inOrder.flatMap(({ of, failures }) => failures.map((failure) => ({ of, failure })));
  const before = await runsBefore(
    client,
    all.map(({ failure }) => failure.run_id),
    fingerprints,
  );
  const lastSeen = column(({ failures }) => latest(failures).at);
  const { rows } = await client.query<{ tenant_id: string; fingerprint: string }>(REGRESSED, [
    tenants,
    fingerprints,
    lastSeen,
  ]);
  await client.query(COUNT, [
    tenants,
    fingerprints,
    column(({ of }) => of.actionType),
    column(({ of }) => of.workflowId),
    column(({ of }) => of.actionId),
    column(({ of, tenantId }) => textPayload(of.code, tenantId)),
    column(({ of, tenantId }) => textPayload(of.template, tenantId)),
    column(({ of, tenantId }) => textPayload(of.message, tenantId)),
    column(({ failures }) => latest(failures).run_id),
    column(({ failures }) => failures.length),
    column(({ failures }) => failures.filter(({ final }) => final).length),
    column(({ of, failures }) => {
      const runs = new Set(failures.map(({ run_id }) => run_id));
      return [...runs].filter((run) => !before.has(`${run} ${of.fingerprint}`)).length;
    }),
    column(({ failures }) => new Date(Math.min(...failures.map(({ at }) => at.getTime())))),
    lastSeen,
  ]);
  await client.query(MARK, [
    all.map(({ failure }) => failure.run_id),
    all.map(({ failure }) => failure.action_id),
    all.map(({ failure }) => failure.epoch),
    all.map(({ failure }) => failure.attempt),
    all.map(({ of }) => of.fingerprint),
  ]);
  const regressed = rows.map(({ tenant_id: tenantId, fingerprint }) => ({ tenantId, fingerprint }));
  const record = createPlatformEvents(client);
  for (const { tenantId, fingerprint } of regressed) {
    await record({ tenantId, kind: 'error.regressed', data: { fingerprint } });
  }
  return regressed;
}

async function runsBefore(client: pg.PoolClient, runIds: string[], fingerprints: string[]): Promise<Set<string>> {
  const { rows } = await client.query<{ run_id: string; fingerprint: string }>(RUNS_BEFORE, [
    [...new Set(runIds)],
    fingerprints,
  ]);
  return new Set(rows.map(({ run_id, fingerprint }) => `${run_id} ${fingerprint}`));
}

function latest([first, ...others]: readonly RawFailure[]): RawFailure {
  if (first === undefined) throw new Error('a group has at least one failure');
  return others.reduce((last, one) => (one.at >= last.at ? one : last), first);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Groups that were last seen before any stored run; resolves to how many. */
export async function removeOldGroups(pool: pg.Pool, olderThanDays: number, limit: number): Promise<number> {
  const { rowCount } = await pool.query(
    `DELETE FROM error_group WHERE ctid = ANY (ARRAY(
       SELECT ctid FROM error_group WHERE last_seen < now() - make_interval(days => $1::int) LIMIT $2 FOR UPDATE SKIP LOCKED))`,
    [olderThanDays, limit],
  );
  return rowCount ?? 0;
}
