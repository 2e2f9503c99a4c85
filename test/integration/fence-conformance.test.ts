/** The same random script on the real SQL and on the rules in memory: what the simulations are tried against is true. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RETRYABLE_STATUSES } from '../../src/engine/control/retry-run.ts';
import type { RetryStore, RunStore } from '../../src/engine/ports/runs.ts';
import type { Outcome, TaskStore } from '../../src/engine/ports/tasks.ts';
import { createRetryStore } from '../../src/store/runs/reopen-run.ts';
import { commitOutcomes } from '../../src/store/tasks/commit.ts';
import { commitBatch, tasksOf } from '../harness/fakes/fence.ts';
import { createFakeStore } from '../harness/fakes/store.ts';
import { newRun, outcome } from '../harness/outcomes.ts';
import { type FenceDatabase, openFenceDatabase } from '../support/fence-database.ts';

let db: FenceDatabase;
beforeAll(async () => {
  db = await openFenceDatabase();
});
afterAll(() => db.close());

const ACTIONS = ['a', 'b', 'z'];
const RUNS = ['first', 'second'];
type RunName = (typeof RUNS)[number];

const target = { run: fc.constantFrom(...RUNS), actionId: fc.constantFrom(...ACTIONS) };
const epochs = fc.constantFrom(1, 1, 1, 1, 1, 2);
const committed = fc.record({
  ...target,
  epoch: epochs,
  attempt: fc.integer({ min: 1, max: 3 }),
  fence: fc.integer({ min: 1, max: 4 }),
  status: fc.constantFrom('completed', 'failed', 'retrying', 'waiting', 'skipped', 'upstream_failed', 'cancelled'),
  tolerated: fc.boolean(),
  executed: fc.boolean(),
  nextDelivery: fc.constantFrom(null, 2, 3),
});
type Committed = typeof committed extends fc.Arbitrary<infer T> ? T : never;
// Two that differ in nothing that decides between them are left out: either may win.
const batch = fc.uniqueArray(committed, {
  minLength: 1,
  maxLength: 5,
  selector: ({ run, actionId, status, fence, attempt }) =>
    [run, actionId, status === 'completed', fence, attempt].join(),
});
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('commit' as const), batch }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('send again' as const), which: fc.nat() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('claim' as const), ...target, epoch: epochs }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('show' as const), shown: committed }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), run: target.run }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('finalize' as const), run: target.run, epoch: epochs }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('end' as const), run: target.run, epoch: epochs }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('mark queued' as const), run: target.run, epoch: epochs }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('retry' as const),
      run: target.run,
      epoch: epochs,
      actionIds: fc.subarray(ACTIONS, { minLength: 1 }),
    }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

interface Side {
  tasks: TaskStore;
  runs: RunStore;
  retries: RetryStore;
  commitAll(outcomes: Outcome[]): Promise<string[]>;
}

function toOutcome(values: Committed, runId: string): Outcome {
  const { status, executed, tolerated, run: _, ...rest } = values;
  return outcome({
    ...rest,
    runId,
    status,
    tolerated: tolerated && status === 'failed',
    startedMono: executed ? performance.now() : null,
    endsRun: rest.actionId === 'z' && !['retrying', 'waiting'].includes(status),
    runOutput: status === 'completed' ? '{"of": "the run"}' : null,
  });
}

async function play(
  side: Side,
  script: readonly Step[],
  sent: Outcome[][],
  idOf: (run: RunName) => string,
): Promise<unknown[]> {
  const answers: unknown[] = [];
  let commits = 0;
  const perform = async (now: Step): Promise<unknown> => {
    switch (now.do) {
      case 'commit':
        commits += 1;
        return side.commitAll(sent[commits - 1] ?? []);
      case 'send again':
        return commits === 0 ? 'nothing to send' : side.commitAll(sent[now.which % commits] ?? []);
      case 'claim': {
        const { actionId, epoch } = now;
        return side.tasks.claim({ runId: idOf(now.run), epoch, actionId, actionType: 'test_task', worker: 'other' });
      }
      case 'show':
        return side.tasks.markRunning(toOutcome(now.shown, idOf(now.shown.run)));
      case 'cancel':
        return side.runs.requestCancel('t', idOf(now.run), 'enough');
      case 'finalize':
        return side.runs.finalize({
          ...{ runId: idOf(now.run), tenantId: 't', epoch: now.epoch, actions: 3 },
          output: '{"final": true}',
        });
      case 'end': {
        const actions = ACTIONS.map((actionId) => ({ actionId, actionType: 'test_task' }));
        return side.runs.endAbnormally(idOf(now.run), now.epoch, 'cancelled', actions);
      }
      case 'mark queued':
        return side.runs.markQueued(idOf(now.run), now.epoch);
      case 'retry': {
        const { epoch, actionIds } = now;
        const request = { runId: idOf(now.run), epoch, from: RETRYABLE_STATUSES, actionIds, afterSeconds: 5, by: 'u' };
        const reopened = await side.retries.reopen(request);
        return reopened && { epoch: reopened.epoch, gen: reopened.gen, status: reopened.status, final: reopened.final };
      }
    }
  };
  for (const now of script) answers.push(await perform(now));
  return answers;
}

/** What the port shows of a run, and what it hides. */
async function seen(side: Side, runId: string): Promise<object> {
  const { run, tasks } = await side.tasks.lookup({ runId, actionIds: ACTIONS, outputsOf: ACTIONS });
  // When a task ended is the database's clock, which the fake has not.
  const plain = [...tasks.values()].map(({ finishedMs: _, ...task }) => task);
  const byId = plain.sort((x, y) => (x.actionId < y.actionId ? -1 : 1));
  return { status: run?.status, final: run?.final, epoch: run?.epoch, tasks: byId };
}
const json = (text: string | null) => (text === null ? null : JSON.parse(text));

async function storedReally(runId: string): Promise<object> {
  const events = await db.rows('SELECT action_id, epoch, attempt, kind FROM event WHERE run_id = $1', runId);
  const errors = await db.rows(
    'SELECT action_id, error, worker, commit_id FROM task WHERE run_id = $1 ORDER BY 1',
    runId,
  );
  const { output, error } = (await db.run(runId)) ?? {};
  return { events: lines(events), errors, output, error, attempts: await db.attempts(runId) };
}
function storedInMemory({ truth }: ReturnType<typeof createFakeStore>, runId: string): object {
  const events = truth.events.filter((event) => event.runId === runId);
  const errors = tasksOf(truth, runId).sort((x, y) => (x.actionId < y.actionId ? -1 : 1));
  const run = truth.runs.get(runId);
  const attempts = truth.attempts.filter((attempt) => attempt.runId === runId);
  return {
    events: lines(events.map(({ actionId, epoch, attempt, kind }) => ({ action_id: actionId, epoch, attempt, kind }))),
    errors: errors.map(({ actionId, error, worker, commitId }) => ({
      action_id: actionId,
      error: json(error),
      worker,
      commit_id: commitId,
    })),
    output: json(run?.output ?? null),
    error: json(run?.error ?? null),
    attempts: attempts.map(({ actionId, attempt, status }) => `${actionId} ${attempt} ${status}`).sort(),
  };
}
// The order of events inside one statement is nobody's promise.
const lines = (events: object[]) => events.map((event) => JSON.stringify(event)).sort();

test('whatever is committed, claimed, shown, cancelled and ended, both give the same answers and hold the same', async () => {
  let scripts = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (script) => {
      scripts += 1;
      const number = scripts;
      const idOf = (run: RunName) => `script-${number}-${run}`;
      const sent = script.flatMap((now) =>
        now.do === 'commit' ? [now.batch.map((values) => toOutcome(values, idOf(values.run)))] : [],
      );
      const store = createFakeStore();
      const retries = createRetryStore(db.pool);
      const real: Side = { ...db, retries, commitAll: (outcomes) => commitOutcomes(db.pool, outcomes) };
      const fake: Side = { ...store, commitAll: async (outcomes) => commitBatch(store.truth, outcomes) };
      for (const side of [real, fake]) for (const run of RUNS) await side.runs.accept(newRun(idOf(run)));

      expect(await play(fake, script, sent, idOf)).toEqual(await play(real, script, sent, idOf));
      for (const run of RUNS) {
        expect(await seen(fake, idOf(run))).toEqual(await seen(real, idOf(run)));
        expect(storedInMemory(store, idOf(run))).toEqual(await storedReally(idOf(run)));
      }
    }),
    { numRuns: 200 },
  );
});
