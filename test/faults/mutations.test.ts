/**
 * The check of the check: copies of the program in which one protection is off must each break the invariant that the
 * protection is for, in a scenario that the program itself survives. `npm test` tries one of them and
 * looks whether the others still fit, `npm run test:mutations` tries all.
 */
import { describe, expect, test } from 'vitest';
import { describeViolation, type Invariant } from '../harness/checker/rules.ts';
import { openStation, type Station } from '../harness/faults/station.ts';
import { type Edit, expectFit, makeMutant } from '../support/faults/mutants.ts';
import {
  cancelledBeforeItBegins,
  crossedGraph,
  killedBetweenCommitAndAcknowledgement,
  provoke,
  queueForgets,
  requestIsRepeated,
  sleeperWakesAfterTheEnd,
  sleeperWakesMeanwhile,
} from '../support/faults/provocations.ts';

interface Mutation {
  /** The protection that is off. */
  name: string;
  edits: Edit[];
  provocation: Parameters<typeof provoke>[1];
  breaks: Invariant;
}

/** A worker that stood still commits no failure by itself already; both would have to go wrong. */
const NO_DISTRUST: Edit = {
  file: 'engine/deliver/jobs-in-hand.js',
  find: 'lost = { reason, abort };',
  replace: 'return;',
};

const MUTATIONS: Mutation[] = [
  {
    name: 'the compare-and-set of a commit: any outcome is accepted',
    edits: [
      NO_DISTRUST,
      {
        file: 'store/tasks/sql/commit.js',
        find: `WHERE t.epoch = EXCLUDED.epoch AND NOT t.final
    AND EXCLUDED.attempt > t.ended_attempt
    AND (EXCLUDED.status = 'completed' OR EXCLUDED.fence = t.fence)`,
        replace: 'WHERE true',
      },
    ],
    provocation: sleeperWakesAfterTheEnd,
    breaks: 'I2',
  },
  {
    name: 'the fence: a failure is accepted from whoever once had the task',
    edits: [
      NO_DISTRUST,
      {
        file: 'store/tasks/sql/commit.js',
        find: `AND (EXCLUDED.status = 'completed' OR EXCLUDED.fence = t.fence)`,
        replace: '',
      },
    ],
    provocation: sleeperWakesMeanwhile,
    breaks: 'I4',
  },
  {
    name: 'the look at what is committed: a task that is final is executed again',
    edits: [
      { file: 'engine/deliver/execute-task.js', find: 'if (own?.final === true)', replace: 'if (false)' },
      {
        file: 'store/tasks/task-store.js',
        find: `WHERE t.epoch = EXCLUDED.epoch AND NOT t.final
RETURNING fence, deliveries`,
        replace: 'WHERE t.epoch = EXCLUDED.epoch RETURNING fence, deliveries',
      },
    ],
    provocation: killedBetweenCommitAndAcknowledgement,
    breaks: 'I6',
  },
  {
    name: 'the reconciler: what the queue has lost is not added again',
    edits: [{ file: 'engine/recover/reconcile.js', find: 'if (lost === undefined)', replace: 'if (true)' }],
    provocation: queueForgets,
    breaks: 'I1',
  },
  {
    name: 'the removal of gates',
    edits: [
      { file: 'queue/flow-queue.js', find: 'async removeGates(jobIds) {', replace: 'async removeGates() { return;' },
    ],
    provocation: crossedGraph,
    breaks: 'I1',
  },
  {
    name: 'the final rows of what a cancelled run never began',
    edits: [
      {
        file: 'store/runs/run-store.js',
        find: 'await client.query(TOMBSTONES, [runId, epoch, taskStatus, ids, types]);',
        replace: '',
      },
    ],
    provocation: cancelledBeforeItBegins,
    breaks: 'I4',
  },
  {
    name: 'the idempotency key of a run',
    edits: [
      {
        file: 'store/accept/accept-runs.js',
        find: 'column((r) => r.idempotencyKey ?? null)',
        replace: 'column(() => null)',
      },
    ],
    provocation: requestIsRepeated,
    breaks: 'I9',
  },
];
/** The quickest. */
const IN_EVERY_TEST_RUN = MUTATIONS.slice(-1);
const TIMEOUT_MS = 150_000;

const chosen = process.env['MUTATIONS'] === 'all' ? MUTATIONS : IN_EVERY_TEST_RUN;

test.each(MUTATIONS)('the mutation fits the program as it is built, without $name', async ({ edits }) => {
  await expectFit(edits);
});

describe.each(chosen)('without $name', ({ edits, provocation, breaks }) => {
  test(`${breaks} is broken, and the check says so`, { timeout: TIMEOUT_MS }, async () => {
    const mutant = await makeMutant(edits);
    try {
      const found = await violationsOf(mutant.root, provocation);
      expect(found.filter((line) => line.startsWith(`${breaks}:`))).not.toEqual([]);
    } finally {
      await mutant.remove();
    }
  });

  test('the program itself breaks nothing', { timeout: TIMEOUT_MS }, async () => {
    expect(await violationsOf(undefined, provocation)).toEqual([]);
  });
});

async function violationsOf(root: string | undefined, provocation: Mutation['provocation']): Promise<string[]> {
  const station: Station = await openStation({ backend: 'redis', workers: 2, ...(root === undefined ? {} : { root }) });
  try {
    const found = (await provoke(station, provocation)).map(describeViolation);
    for (const line of found) process.stdout.write(`${line.slice(0, 300)}\n`);
    return found;
  } catch (error) {
    process.stderr.write(`${station.tail()}\n`);
    throw error;
  } finally {
    await station.close();
  }
}
