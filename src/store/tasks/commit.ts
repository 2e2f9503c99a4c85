/** The group commit of outcomes: what is ready goes out in one statement, which `sql/commit.ts` has, with the rule of the fence. */
import type pg from 'pg';
import type { CommitResult, Outcome } from '../../engine/ports/tasks.ts';
import { EACH } from '../core/by-key.ts';
import { errorPayload, payload } from '../payloads/payloads.ts';
import { COMMIT } from './sql/commit.ts';

/** Rejected, or committed by an earlier statement whose answer was lost. */
const COMMITTED_BEFORE = `
SELECT t.commit_id FROM unnest($1::text[], $2::text[], $3::uuid[]) AS o(run_id, action_id, commit_id)
CROSS JOIN LATERAL (SELECT commit_id FROM task WHERE run_id = o.run_id AND action_id = o.action_id AND commit_id = o.commit_id ${EACH}) t`;

/** A pool, or a transaction. */
type Queryable = Pick<pg.ClientBase, 'query'>;

/** One answer per outcome. An outcome that lost to a duplicate in its own batch is rejected. */
export async function commitOutcomes(pool: Queryable, outcomes: readonly Outcome[]): Promise<CommitResult[]> {
  const sent = withoutDuplicates(outcomes);
  const mono = performance.now();
  const column = <T>(pick: (outcome: Outcome) => T): T[] => sent.map(pick);
  const { rows } = await pool.query<{ accepted: number[] | null }>({
    name: 'commit-outcomes',
    text: COMMIT,
    values: [
      column((o) => o.runId),
      column((o) => o.actionId),
      column((o) => o.actionType),
      column((o) => o.epoch),
      column((o) => o.attempt),
      column((o) => o.fence),
      column((o) => o.status),
      column((o) => o.final),
      column((o) => o.ended),
      column((o) => o.tolerated),
      column((o) => payload(o.input, o.tenantId)),
      column((o) => payload(o.output, o.tenantId)),
      column((o) => errorPayload(o.error, o.tenantId)),
      column((o) => o.commitId),
      column((o) => o.worker),
      // All stored times are the database's: the worker only says how long ago the attempt started.
      column((o) => (o.startedMono === null ? null : Math.max(0, mono - o.startedMono))),
      column((o) => o.wakeAt),
      column((o) => o.nextDelivery),
      column((o) => o.endsRun),
      column((o) => payload(o.runOutput, o.tenantId)),
      column((o) => o.wakesSeen),
      column((o) => o.cached ?? null),
      column((o) => o.effectUnknown),
      column((o) => o.notBefore ?? null),
      // What the clock that they were read from says by now, unless it has been put right since.
      column(({ clockReading }) =>
        clockReading === undefined ? null : new Date(clockReading.clockMs + mono - clockReading.mono),
      ),
    ],
  });
  const accepted = new Set<Outcome>();
  for (const n of rows[0]?.accepted ?? []) {
    const outcome = sent[n - 1];
    if (outcome !== undefined) accepted.add(outcome);
  }
  if (accepted.size < sent.length) {
    const rejected = sent.filter((outcome) => !accepted.has(outcome));
    for (const outcome of await committedBefore(pool, rejected)) accepted.add(outcome);
  }
  return outcomes.map((outcome) => (accepted.has(outcome) ? 'accepted' : 'rejected'));
}

async function committedBefore(pool: Queryable, outcomes: readonly Outcome[]): Promise<Outcome[]> {
  const { rows } = await pool.query<{ commit_id: string }>({
    name: 'committed-before',
    text: COMMITTED_BEFORE,
    values: [outcomes.map((o) => o.runId), outcomes.map((o) => o.actionId), outcomes.map((o) => o.commitId)],
  });
  const ids = new Set(rows.map((row) => row.commit_id));
  return outcomes.filter(({ commitId }) => ids.has(commitId));
}

/** One statement may touch a row only once, and one worker may have two deliveries of a task: the better outcome goes. */
function withoutDuplicates(outcomes: readonly Outcome[]): Outcome[] {
  const best = new Map<string, Outcome>();
  for (const outcome of outcomes) {
    const key = `${outcome.runId} ${outcome.actionId}`;
    const other = best.get(key);
    if (other === undefined || isBetter(outcome, other)) best.set(key, outcome);
  }
  return [...best.values()];
}

/** A success, then the newer token, then the later attempt. */
function isBetter(one: Outcome, other: Outcome): boolean {
  const successes = Number(one.status === 'completed') - Number(other.status === 'completed');
  return (successes || one.fence - other.fence || one.attempt - other.attempt) > 0;
}
