/**
 * Waits until every run has ended and the queue is empty. What does not move for a while is stuck, and is described: the
 * rows of the run and its tasks, and its jobs in every queue.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster, Redis } from 'ioredis';
import type pg from 'pg';
import { keysOf, leftovers } from './at-rest.ts';
import { describeViolation, type Violation } from './rules.ts';

export interface Resting {
  db: pg.Pool;
  redis: Redis | Cluster | undefined;
  queuePrefix: string;
  queueShards?: number;
  /** Of the API that can say why a run is stuck. */
  apiUrl?: string;
}
export interface Patience {
  /** Nothing has changed for so long: stuck. Longer than the slowest of the engine's own nets. */
  quietMs: number;
  /** However much it moves. */
  totalMs: number;
  /** Is told once what is still left after a while, which says what the end is waiting for. */
  onSlow?(left: string): void;
}

const LOOK_EVERY_MS = 250;
const SLOW_MS = 8_000;
const DESCRIBED_RUNS = 5;

/** What is left when it is at rest, or stuck: nothing, or one violation each for runs and jobs. */
export async function waitForRest(resting: Resting, { quietMs, totalMs, onSlow }: Patience): Promise<Violation[]> {
  const from = performance.now();
  let told = false;
  let movedAt = from;
  let last = '';
  for (;;) {
    // A store that is only just back may refuse a query.
    const now = await look(resting).catch(() => undefined);
    if (now !== undefined) {
      if (now.open.length === 0 && now.jobs.length === 0) return [];
      if (now.mark !== last) movedAt = performance.now();
      last = now.mark;
      if (!told && performance.now() - from > SLOW_MS) {
        told = true;
        const stuck = onSlow === undefined ? [] : await describeStuck(resting, now.open, now.jobs, 'not at rest yet');
        onSlow?.(stuck.map(describeViolation).join('\n'));
      }
    }
    const quiet = performance.now() - movedAt > quietMs;
    if (quiet || performance.now() - from > totalMs) {
      const why = quiet ? `nothing has moved for ${quietMs} ms` : `it moves, and has not ended after ${totalMs} ms`;
      return describeStuck(resting, now?.open ?? [], now?.jobs ?? [], why);
    }
    await sleep(LOOK_EVERY_MS);
  }
}

/** The runs that have not ended, as they are now, or why nothing can be said of them. Never rejects. */
export async function describeUnfinished({
  api,
  ...of
}: Omit<Resting, 'apiUrl'> & { api: { url: string } }): Promise<string> {
  try {
    const resting = { ...of, apiUrl: api.url };
    const { open, jobs } = await look(resting);
    return (await describeStuck(resting, open, jobs, 'when the test failed')).map(describeViolation).join('\n');
  } catch (error) {
    return String(error);
  }
}

async function look({ db, redis, queuePrefix, queueShards = 1 }: Resting) {
  const open = await db.query<{ id: string }>('SELECT id FROM run WHERE NOT final ORDER BY id');
  const jobs = await leftovers({ db, redis, queuePrefix, queueShards, reported: new Set() });
  const rows = await db.query<object>(
    `SELECT (SELECT max(id)::text FROM event) AS event, (SELECT count(*)::int FROM run WHERE final) AS runs,
            (SELECT count(*)::int FROM task WHERE final) AS final_tasks`,
  );
  return { open: open.rows.map(({ id }) => id), jobs, mark: JSON.stringify([rows.rows, open.rows, jobs]) };
}

async function describeStuck(
  { db, redis, queuePrefix, apiUrl }: Resting,
  open: readonly string[],
  jobs: ReadonlyArray<{ queue: string; id: string; state: string }>,
  why: string,
): Promise<Violation[]> {
  const found: Violation[] = [];
  const described: object[] = [];
  for (const id of open.slice(0, DESCRIBED_RUNS)) {
    const run = await db.query<object>(
      `SELECT id, status, epoch, gen, workflow_id, inline, check_at, extract(epoch FROM now() - created_at)::int AS age_seconds
       FROM run WHERE id = $1`,
      [id],
    );
    const tasks = await db.query<object>(
      `SELECT action_id, epoch, status, final, attempt, ended_attempt, fence, deliveries, next_delivery, worker, wake_at,
              extract(epoch FROM now() - updated_at)::int AS quiet_seconds
       FROM task WHERE run_id = $1 ORDER BY updated_at`,
      [id],
    );
    const kept = redis === undefined ? await rowsOf(db, id) : await keysOfRun(db, redis, queuePrefix, id);
    described.push({ why, explained: await explained(apiUrl, id), ...run.rows[0], tasks: tasks.rows, jobs: kept });
  }
  if (open.length > 0) found.push({ invariant: 'I1', rule: 'every run ends', rows: described });
  const ofEnded = jobs.filter(({ id }) => !open.some((run) => id.startsWith(`${run}.`)));
  if (ofEnded.length > 0) {
    const rows: object[] = [];
    for (const job of ofEnded) {
      const owner = job.id.slice(0, job.id.indexOf('.'));
      const run = await db.query<object>('SELECT status AS run, epoch, gen, finished_at FROM run WHERE id = $1', [
        owner,
      ]);
      rows.push({ why, ...job, ...run.rows[0] });
    }
    found.push({ invariant: 'I5', rule: 'nothing is left in the queue for a run that has ended', rows });
  }
  return found;
}

/** In its own words; undefined where nobody can be asked. */
async function explained(apiUrl: string | undefined, runId: string): Promise<unknown> {
  if (apiUrl === undefined) return undefined;
  try {
    const answer = await fetch(`${apiUrl}/executions/${runId}/why`, { signal: AbortSignal.timeout(10_000) });
    const { summary, root } = (await answer.json()) as { summary?: string; root?: object }; // As the document has it.
    return { status: answer.status, summary, root };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function rowsOf(db: pg.Pool, runId: string): Promise<object[]> {
  const { rows } = await db.query<object>(
    `SELECT queue, id, state::text FROM bullmq.job WHERE id LIKE $1 || '.%' ORDER BY 1, 2`,
    [runId],
  );
  return rows;
}

/** Each job with its state; one that is in no list at all is the worst kind of lost. */
async function keysOfRun(db: pg.Pool, redis: Redis | Cluster, prefix: string, runId: string): Promise<object[]> {
  const open = await leftovers({ db, redis, queuePrefix: prefix, reported: new Set() });
  const stateOf = new Map(open.map(({ queue, id, state }) => [`${queue}:${id}`, state]));
  const jobs: object[] = [];
  for (const key of await keysOf(redis, prefix)) {
    const [queue = '', id = '', ...more] = key.slice(prefix.length + 1).split(':');
    if (!id.startsWith(`${runId}.`) || more.length > 0) continue;
    const [finishedOn, stalled, started] = await redis.hmget(key, 'finishedOn', 'stc', 'ats');
    const state = stateOf.get(`${queue}:${id}`) ?? (finishedOn === null ? 'in no list' : 'ended');
    jobs.push({ queue, id, state, stalled, started });
  }
  return jobs;
}
