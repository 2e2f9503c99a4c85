/**
 * Concurrency groups: `tenant, workflow, concurrency_key`. A run of one holds a slot from when `waits_for_slot` becomes null
 * until it is final, whether it is in the queue by then or not. Slots are granted in transactions that hold the lock of the
 * group, by a statement that starts when it has the lock, so that it counts what those before it have granted. Nothing else grants
 * one, and a slot that gets free in the meantime is granted by the next one.
 */
import type pg from 'pg';
import type { NewRun, ReplacedRun, StoredRun } from '../../engine/ports/runs.ts';
import { inTransaction } from '../core/in-transaction.ts';
import { notBarredFrom } from '../core/states.ts';
import { definitionRef, type RawRun } from '../runs/run-row.ts';
import { acceptDeduplicatedIn, type DeduplicatedRun, isDeduplicated } from './accept-deduplicated.ts';
import { acceptRuns } from './accept-runs.ts';

export type GroupedRun = NewRun & { concurrency: NonNullable<NewRun['concurrency']> };

/** Of locks of two numbers, of which the second is the group's; ours alone in the database. */
const GROUP_LOCK = 7_202_614;
const GROUPS_PER_PAGE = 500;
const PAGES_PER_PASS = 4;
const GRANTED_AT_ONCE = 100;

interface Group {
  tenant_id: string;
  workflow_id: string;
  concurrency_key: string;
}

/** As the index `run_waiting_for_slot` has it. `row`: its alias, with a dot. */
export const waitsForSlot = (row = ''): string =>
  `${row}status = 'pending' AND ${row}due_at IS NULL AND ${row}waits_for_slot`;
const WAITS = waitsForSlot();
/** As the index `run_holding_slot` has it. */
const HOLDS = `concurrency_key IS NOT NULL AND waits_for_slot IS NULL AND NOT final`;
const OF_GROUP = (row: string) =>
  `${row}.tenant_id = g.tenant_id AND ${row}.workflow_id = g.workflow_id AND ${row}.concurrency_key = g.concurrency_key`;
const GROUPS = `unnest($1::text[], $2::text[], $3::text[]) AS g(tenant_id, workflow_id, concurrency_key)`;

// In one order everywhere. Two groups may share a number, and then only wait for each other.
const LOCK = `
SELECT pg_advisory_xact_lock(${GROUP_LOCK}, number) FROM (
  SELECT DISTINCT hashtext(jsonb_build_array(tenant_id, workflow_id, concurrency_key)::text) AS number FROM ${GROUPS} ORDER BY 1
) AS numbers`;

// Whoever is first in a group goes first: one that may not keeps the others waiting.
const GRANT = `
WITH g AS (SELECT DISTINCT * FROM ${GROUPS}), next AS (
  SELECT w.id, bool_and(held.runs + w.n <= w.concurrency_limit)
    OVER (PARTITION BY g.tenant_id, g.workflow_id, g.concurrency_key ORDER BY w.n) AS may
  FROM g
  CROSS JOIN LATERAL (SELECT count(*) AS runs FROM run h WHERE ${OF_GROUP('h')} AND ${HOLDS}) AS held
  CROSS JOIN LATERAL (
    SELECT q.id, q.concurrency_limit, row_number() OVER (ORDER BY q.priority, q.deadline_at, q.created_at, q.id) AS n FROM (
      SELECT r.id, r.concurrency_limit, r.priority, r.deadline_at, r.created_at FROM run r WHERE ${OF_GROUP('r')} AND ${WAITS}
      ORDER BY r.priority, r.deadline_at, r.created_at, r.id LIMIT ${GRANTED_AT_ONCE}
    ) AS q
  ) AS w
)
UPDATE run SET waits_for_slot = NULL WHERE id = ANY (ARRAY(SELECT id FROM next WHERE may)) AND ${WAITS}
RETURNING id`;

// They have been inserted, and nobody else sees them yet.
const REJECT = `
WITH mine AS (
  SELECT id, tenant_id, workflow_id, concurrency_key, concurrency_limit,
         row_number() OVER (PARTITION BY tenant_id, workflow_id, concurrency_key ORDER BY id) AS n
  FROM run WHERE id = ANY($1::text[])
)
DELETE FROM run WHERE id IN (
  SELECT g.id FROM mine g
  CROSS JOIN LATERAL (SELECT count(*) AS runs FROM (
    SELECT 1 FROM run r WHERE ${OF_GROUP('r')} AND ${HOLDS} LIMIT g.concurrency_limit) AS some_holders) AS held
  CROSS JOIN LATERAL (SELECT count(*) AS runs FROM (
    SELECT 1 FROM run r WHERE ${OF_GROUP('r')} AND ${WAITS} AND r.id <> ALL($1::text[]) LIMIT g.concurrency_limit) AS some_waiters) AS waiting
  WHERE held.runs + waiting.runs + g.n > g.concurrency_limit
)
RETURNING id`;

// The newest stay, as many as the limit lets; those that are cancelling already go as well.
const REPLACE = `
WITH g AS (
  SELECT DISTINCT ON (tenant_id, workflow_id, concurrency_key) id, tenant_id, workflow_id, concurrency_key, concurrency_limit
  FROM run WHERE id = ANY($1::text[]) ORDER BY tenant_id, workflow_id, concurrency_key, id DESC
), before AS (
  SELECT r.id, r.status, g.id AS by FROM g
  CROSS JOIN LATERAL (
    SELECT m.id FROM (
      SELECT h.id, h.created_at FROM run h WHERE ${OF_GROUP('h')} AND ${HOLDS} AND ${notBarredFrom('replace', 'h.status')}
      UNION ALL
      SELECT w.id, w.created_at FROM run w WHERE ${OF_GROUP('w')} AND ${WAITS}
    ) AS m
    ORDER BY m.created_at DESC, m.id DESC OFFSET g.concurrency_limit
  ) AS old
  JOIN run r ON r.id = old.id
  WHERE NOT r.final AND ${notBarredFrom('replace', 'r.status')}
  ORDER BY r.id FOR NO KEY UPDATE OF r
), u AS (
  UPDATE run r SET status = 'cancelling', cancel_reason = 'replaced by ' || b.by, check_at = now()
  FROM before b WHERE r.id = b.id
  RETURNING r.id, r.epoch, r.workflow_id, r.workflow_version, r.inline, r.cancel_reason, b.status AS was,
            EXISTS (SELECT 1 FROM task t WHERE t.run_id = r.id)
              OR EXISTS (SELECT 1 FROM run c WHERE c.parent_run_id = r.id AND c.awaited AND NOT c.final) AS started
), e AS (
  INSERT INTO event (run_id, epoch, kind, data)
  SELECT id, epoch, 'run.cancelling', jsonb_build_object('reason', cancel_reason) FROM u
)
SELECT u.*, pg_notify('run_control', u.id) FROM u`;

// From group to group by the index: what it takes does not depend on how many wait in each.
const GROUPS_WITH_ROOM = `
WITH RECURSIVE g AS (
  (SELECT tenant_id, workflow_id, concurrency_key FROM run
   WHERE ${WAITS} AND (tenant_id, workflow_id, concurrency_key) > ($1, $2, $3)
   ORDER BY tenant_id, workflow_id, concurrency_key LIMIT 1)
  UNION ALL
  SELECT n.* FROM g CROSS JOIN LATERAL (
    SELECT r.tenant_id, r.workflow_id, r.concurrency_key FROM run r
    WHERE ${WAITS} AND (r.tenant_id, r.workflow_id, r.concurrency_key) > (g.tenant_id, g.workflow_id, g.concurrency_key)
    ORDER BY r.tenant_id, r.workflow_id, r.concurrency_key LIMIT 1) AS n
)
SELECT g.*, (SELECT count(*) FROM run h WHERE ${OF_GROUP('h')} AND ${HOLDS}) < first.concurrency_limit AS "hasRoom"
FROM (SELECT * FROM g LIMIT $4) AS g
CROSS JOIN LATERAL (
  SELECT r.concurrency_limit FROM run r WHERE ${OF_GROUP('r')} AND ${WAITS}
  ORDER BY r.priority, r.deadline_at, r.created_at LIMIT 1
) AS first
ORDER BY g.tenant_id, g.workflow_id, g.concurrency_key`;

type Replaced = Pick<RawRun, 'id' | 'epoch' | 'workflow_id' | 'workflow_version' | 'inline'> & {
  was: string;
  started: boolean;
};

export function isGrouped(run: NewRun): run is GroupedRun {
  return run.concurrency !== undefined;
}

/** One transaction: what is inserted gets its slots, is removed again (`reject`), or takes those of others (`replace`). */
export function acceptInGroups(pool: pg.Pool, runs: readonly GroupedRun[]): Promise<StoredRun[]> {
  const groups = groupsOf(runs);
  return inTransaction(pool, async (client) => {
    await client.query({ name: 'lock-groups', text: LOCK, values: groups });
    const stored = await insert(client, runs);
    const inserted = (policy: GroupedRun['concurrency']['policy']) =>
      runs.filter(({ id, concurrency }) => concurrency.policy === policy && stored.get(id)?.inserted === true);
    const rejected = await reject(client, inserted('reject'));
    const replaced = await replace(client, inserted('replace'));
    const granted = await grant(client, groups);
    return runs.map((run): StoredRun => {
      const row = stored.get(run.id);
      if (row === undefined) throw new Error(`run ${run.id} was neither inserted nor found`);
      if (!row.inserted) return row;
      if (rejected.has(run.id)) return { ...row, inserted: false, full: run.concurrency };
      const ofMine = replaced.filter(({ by }) => by === run.id);
      return {
        ...row,
        ...(granted.has(run.id) ? {} : { waits: true as const }),
        ...(ofMine.length > 0 ? { replaced: ofMine } : {}),
      };
    });
  });
}

async function insert(client: pg.ClientBase, runs: readonly GroupedRun[]): Promise<Map<string, StoredRun>> {
  const deduplicated = runs.filter((run): run is GroupedRun & DeduplicatedRun => isDeduplicated(run));
  const plain = runs.filter((run) => !isDeduplicated(run));
  const rows = plain.length === 0 ? [] : await acceptRuns(client, plain);
  const once = deduplicated.length === 0 ? [] : await acceptDeduplicatedIn(client, deduplicated);
  return new Map([
    ...plain.flatMap(({ id }, index) => pair(id, rows[index])),
    ...deduplicated.flatMap(({ id }, index) => pair(id, once[index])),
  ]);
}

function pair(id: string, row: StoredRun | undefined): Array<[string, StoredRun]> {
  return row === undefined ? [] : [[id, row]];
}

async function reject(client: pg.ClientBase, runs: readonly GroupedRun[]): Promise<Set<string>> {
  // One that is delayed takes its slot when it is due.
  const due = runs.filter(({ delaySeconds }) => delaySeconds === undefined).map(({ id }) => id);
  if (due.length === 0) return new Set();
  const { rows } = await client.query<{ id: string }>({ name: 'reject-runs', text: REJECT, values: [due] });
  const ids = rows.map(({ id }) => id);
  if (ids.length > 0) await client.query('DELETE FROM run_dedupe WHERE run_id = ANY($1::text[])', [ids]);
  return new Set(ids);
}

async function replace(
  client: pg.ClientBase,
  runs: readonly GroupedRun[],
): Promise<Array<ReplacedRun & { by: string }>> {
  const due = runs.filter(({ delaySeconds }) => delaySeconds === undefined).map(({ id }) => id);
  if (due.length === 0) return [];
  const { rows } = await client.query<Replaced & { cancel_reason: string }>({
    name: 'replace-runs',
    text: REPLACE,
    values: [due],
  });
  return rows.map((row) => ({
    id: row.id,
    epoch: row.epoch,
    of: definitionRef(row),
    notStarted: !row.started && (row.was === 'pending' || row.was === 'paused'),
    by: row.cancel_reason.replace('replaced by ', ''),
  }));
}

async function grant(client: pg.ClientBase, groups: unknown[]): Promise<Set<string>> {
  const { rows } = await client.query<{ id: string }>({ name: 'give-slots', text: GRANT, values: groups });
  return new Set(rows.map(({ id }) => id));
}

function groupsOf(runs: readonly GroupedRun[]): unknown[] {
  return [
    runs.map(({ tenantId }) => tenantId),
    runs.map(({ of }) => ('workflow_id' in of ? of.workflow_id : null)),
    runs.map(({ concurrency }) => concurrency.key),
  ];
}

const FIRST: Group = { tenant_id: '', workflow_id: '', concurrency_key: '' };

/** Grants the slots that have become free, some pages of groups in each pass, from where the last page ended. */
export function createSlotGiver(pool: pg.Pool): () => Promise<number> {
  let after = FIRST;
  return async () => {
    let granted = 0;
    for (let page = 0; page < PAGES_PER_PASS; page += 1) {
      const { rows } = await pool.query<Group & { hasRoom: boolean }>({
        name: 'groups-with-room',
        text: GROUPS_WITH_ROOM,
        values: [after.tenant_id, after.workflow_id, after.concurrency_key, GROUPS_PER_PAGE],
      });
      const open = rows.filter(({ hasRoom }) => hasRoom);
      if (open.length > 0) {
        const groups = [
          open.map((g) => g.tenant_id),
          open.map((g) => g.workflow_id),
          open.map((g) => g.concurrency_key),
        ];
        const holders = await inTransaction(pool, async (client) => {
          await client.query({ name: 'lock-groups', text: LOCK, values: groups });
          return grant(client, groups);
        });
        granted += holders.size;
      }
      const last = rows.at(-1);
      after = rows.length < GROUPS_PER_PAGE || last === undefined ? FIRST : last;
      if (after === FIRST) break;
    }
    return granted;
  };
}
