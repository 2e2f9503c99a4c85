/** Signs of life of workers and of the sweep, and what the database knows of the engine's health. */
import type pg from 'pg';
import { ALIVE_SECONDS } from '../../domain/health/liveness.ts';
import { FAULT_KINDS, type Fault, type FaultKind } from '../../domain/health/system-faults.ts';
import { STARTED_TASKS } from '../../domain/runs/run-states.ts';
import type { EngineHealthStore, HeartbeatStore } from '../../engine/health/engine-health.ts';
import { IN_QUEUE, IN_WINDOW } from '../accept/window.ts';
import { sqlList } from '../core/states.ts';
import { SLEEPS_APART } from '../recover/sleeping-runs.ts';

/** Of one worker. */
const FAULTS_TOLD = 20;

const BEAT = `
WITH gone AS (
  DELETE FROM worker WHERE seen_at < now() - interval '1 day' AND id <> $1
)
INSERT INTO worker (id, lanes, version, active_tasks, loop_lag_ms, started_at, seen_at, faults)
VALUES ($1, $2, $3, $4, $5, now() - make_interval(secs => $6::float8), now(), $7::text::jsonb)
ON CONFLICT (id) DO UPDATE SET lanes = EXCLUDED.lanes, version = EXCLUDED.version, active_tasks = EXCLUDED.active_tasks,
  loop_lag_ms = EXCLUDED.loop_lag_ms, started_at = EXCLUDED.started_at, seen_at = now(),
  faults = EXCLUDED.faults`;

const RECORD_PASS = `
INSERT INTO sweep_pass AS p (id, worker, at, duration_ms, lag_ms, dispatched, checked, repaired, dispatched_total, repaired_total,
                             last_repair_at)
SELECT 1, $1::text, now(), $2::float8, coalesce(extract(epoch FROM now() - min(r.check_at))::float8 * 1000, 0), $3::int, $4::int,
       $5::int, $3::int, $5::int, CASE WHEN $5::int > 0 THEN now() END
FROM (${IN_QUEUE('r.check_at', 'r.check_at <= now()')}) AS r
ON CONFLICT (id) DO UPDATE SET worker = EXCLUDED.worker, at = now(), duration_ms = EXCLUDED.duration_ms, lag_ms = EXCLUDED.lag_ms,
  dispatched = EXCLUDED.dispatched, checked = EXCLUDED.checked, repaired = EXCLUDED.repaired,
  dispatched_total = p.dispatched_total + EXCLUDED.dispatched, repaired_total = p.repaired_total + EXCLUDED.repaired,
  last_repair_at = coalesce(EXCLUDED.last_repair_at, p.last_repair_at)
RETURNING lag_ms`;

// One that sleeps is not under way; it is stuck when it was due long ago.
const COUNTS = `
SELECT count(*) FILTER (WHERE r.status <> 'queued')::int AS active,
       count(*) FILTER (WHERE r.status = 'queued')::int + (SELECT count(*)::int FROM run WHERE status = 'pending') AS queued,
       count(*) FILTER (WHERE r.created_at < now() - make_interval(secs => $1::float8) AND NOT EXISTS (
         SELECT 1 FROM task t WHERE t.run_id = r.id
           AND (t.updated_at > now() - make_interval(secs => $1::float8) OR t.status IN ${sqlList(STARTED_TASKS)})
       ))::int + (SELECT count(*)::int FROM run
         WHERE ${SLEEPS_APART} AND sleeps_until < now() - make_interval(secs => $1::float8)) AS stuck
FROM (${IN_WINDOW('id, status, created_at', 'ALL')}) AS r`;

interface RawWorker {
  id: string;
  alive: boolean;
  lanes: string[];
  version: string;
  active_tasks: number;
  loop_lag_ms: number;
  started_at: Date;
  seen_at: Date;
  faults: unknown;
}

interface RawPass {
  worker: string;
  at: Date;
  age_seconds: number;
  duration_ms: number;
  lag_ms: number;
  dispatched: number;
  checked: number;
  repaired: number;
  /** A bigint, which is read as text. */
  dispatched_total: string;
  repaired_total: string;
  last_repair_at: Date | null;
}

export function createBeatStore(pool: pg.Pool): HeartbeatStore {
  return {
    async record({ id, lanes, version, activeTasks, loopLagMs, uptimeSeconds, faults }) {
      const told = JSON.stringify(faults.slice(0, FAULTS_TOLD));
      await pool.query(BEAT, [id, lanes, version, activeTasks, loopLagMs, uptimeSeconds, told]);
    },
    async remove(id) {
      await pool.query('DELETE FROM worker WHERE id = $1', [id]);
    },
    async recordPass({ worker, durationMs, dispatched, checked, repaired }) {
      const { rows } = await pool.query<{ lag_ms: number }>({
        name: 'record-sweep-pass',
        text: RECORD_PASS,
        values: [worker, durationMs, dispatched, checked, repaired],
      });
      return rows[0]?.lag_ms ?? 0;
    },
  };
}

export function createEngineHealthStore(pool: pg.Pool): EngineHealthStore {
  return {
    async facts(stuckAfterSeconds, aliveSeconds) {
      const [counts, workers, passes] = await Promise.all([
        pool.query<{ active: number; queued: number; stuck: number }>(COUNTS, [stuckAfterSeconds]),
        pool.query<RawWorker>(
          `SELECT *, seen_at > now() - make_interval(secs => $1::float8) AS alive FROM worker ORDER BY started_at, id`,
          [aliveSeconds],
        ),
        pool.query<RawPass>('SELECT *, extract(epoch FROM now() - at)::float8 AS age_seconds FROM sweep_pass'),
      ]);
      const { active = 0, queued = 0, stuck = 0 } = counts.rows[0] ?? {};
      const pass = passes.rows[0];
      return {
        active,
        queued,
        stuck,
        workers: workers.rows.map((raw) => ({
          worker: raw.id,
          alive: raw.alive,
          version: raw.version,
          lanes: raw.lanes,
          activeTasks: raw.active_tasks,
          loopLagMs: Math.round(raw.loop_lag_ms),
          startedAt: raw.started_at,
          seenAt: raw.seen_at,
        })),
        faults: workers.rows
          .filter(({ alive }) => alive)
          .flatMap(({ id, faults: told }) => faultsOf(told).map((fault) => ({ ...fault, reporter: id }))),
        sweep:
          pass === undefined
            ? null
            : {
                worker: pass.worker,
                lastPassAt: pass.at,
                ageSeconds: Math.max(0, pass.age_seconds),
                durationMs: Math.round(pass.duration_ms),
                lagSeconds: pass.lag_ms / 1000,
                dispatched: pass.dispatched,
                checked: pass.checked,
                repaired: pass.repaired,
                dispatchedTotal: Number(pass.dispatched_total),
                repairedTotal: Number(pass.repaired_total),
                lastRepairAt: pass.last_repair_at,
              },
      };
    },
  };
}

/** What each worker that is alive says fails in it, again and again. */
export async function faultsOfWorkers(pool: pg.Pool): Promise<Array<{ id: string; faults: Fault[] }>> {
  const { rows } = await pool.query<{ id: string; faults: unknown }>(
    `SELECT id, faults FROM worker WHERE seen_at > now() - interval '${ALIVE_SECONDS} seconds'`,
  );
  return rows.map(({ id, faults }) => ({ id, faults: faultsOf(faults) }));
}

/** Written by a worker of this release or of another. */
function faultsOf(told: unknown): Fault[] {
  return Array.isArray(told) ? told.filter(isFault) : [];
}

function isFault(one: unknown): one is Fault {
  if (typeof one !== 'object' || one === null) return false;
  const { kind, source, class: of, message, firstAt, lastAt, count } = one as Record<keyof Fault, unknown>;
  const texts = [source, of, message].every((text) => typeof text === 'string');
  const numbers = [firstAt, lastAt, count].every((number) => typeof number === 'number');
  return texts && numbers && FAULT_KINDS.includes(kind as FaultKind); // Any text may be asked for.
}
