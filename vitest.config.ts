import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { statementSites } from './test/support/statements/plugin.ts';

const RUNS_ON_SERVERS = 'test/property/semantics.test.ts';

const SEEDED = [
  'test/faults/seeds.test.ts',
  'test/faults/mutations.test.ts',
  'test/fuzz/**/*.test.ts',
  RUNS_ON_SERVERS,
];

const SAME_VALUES = 'test/support/property-seed.ts';

/** Compares what the API answers with its document. */
const CHECKS_ANSWERS = 'test/support/contract/check-answers.ts';

/** Files that mostly wait. Begun first, they share the cores with the tests without servers, which only compute. */
const MOSTLY_WAIT = ['test/faults/unresponsive-worker.test.ts', 'test/faults/scenarios/sleeping-runs.test.ts'];

/** Begun last, each of these would be all that is left. */
const LONG = [
  'test/operations/locked-table.test.ts',
  'test/faults/scenarios/failover.test.ts',
  'test/faults/scenarios/api-and-reconciler.test.ts',
  'test/faults/scenarios/workers.test.ts',
  'test/integration/redis-groups.test.ts',
  'test/faults/why.test.ts',
  'test/faults/seeds.test.ts',
  'test/integration/worker-loss.test.ts',
  'test/faults/scenarios/worker-failpoints.test.ts',
  'test/faults/drill.test.ts',
  'test/integration/upgrade-under-load.test.ts',
  'test/examples/semantics.test.ts',
  'test/property/semantics.test.ts',
  'test/integration/callbacks.test.ts',
  'test/integration/retention.test.ts',
  // The longest of those that `npm run test:postgres` runs.
  'test/integration/migrate.test.ts',
  'test/integration/environments.test.ts',
  'test/integration/workflow-search-store.test.ts',
];

class KeepsCoresBusy extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isIn = (list: string[], { moduleId }: TestSpecification) => list.some((file) => moduleId.endsWith(file));
    const turn = (file: TestSpecification) => {
      if (isIn(MOSTLY_WAIT, file)) return 0;
      if (file.project.name === 'pure') return 1;
      return isIn(LONG, file) ? 2 : 3;
    };
    return (await super.sort(files)).sort((one, other) => turn(one) - turn(other));
  }
}

const ALL_OPERATIONS = process.env['OPERATIONS'] === 'all';

/** Each takes about a minute: `npm run test:operations` has them all. */
const OPERATIONS_SAMPLE = ['test/operations/locked-table.test.ts'];

/**
 * Most files start an API and workers of their own, and often wait for locks to run out: three keep two cores busy. With five,
 * ten files took 208 to 273 s instead of 161, and twice the processor time, on a virtual machine where processes and pages of
 * memory cost a lot.
 */
const AT_A_TIME = { maxWorkers: Number(process.env['TEST_FILES_AT_A_TIME'] ?? 3), sequence: { groupOrder: 1 } };

/**
 * Tests of one file at a time, where it lets them run side by side (`describe.concurrent`). Those have processes, a database
 * and queues of their own. With more the cores are so busy that locks run out, and connections cannot be made in time.
 */
const SIDE_BY_SIDE = 3;

/** How fast the machine is says nothing of the program: a test that takes longer hangs. */
const HANGS_MS = 900_000;

const ON_SERVERS = {
  maxConcurrency: SIDE_BY_SIDE,
  ...AT_A_TIME,
  setupFiles: [SAME_VALUES, CHECKS_ANSWERS],
  globalSetup: ['test/support/global-setup.ts'],
  testTimeout: HANGS_MS,
  hookTimeout: HANGS_MS,
};

/** Tests below test/unit and test/property need no servers; the others get a PostgreSQL and a Redis, started once. */
export default defineConfig({
  // How long each file took is stored there. The runs on several majors of PostgreSQL end at the same time.
  cacheDir: `node_modules/.vite/${process.env['TEST_POSTGRES_MAJOR'] ?? 'all'}`,
  test: {
    sequence: { sequencer: KeepsCoresBusy },
    projects: [
      {
        test: {
          name: 'pure',
          ...AT_A_TIME,
          include: ['test/unit/**/*.test.ts', 'test/property/**/*.test.ts'],
          exclude: [RUNS_ON_SERVERS],
          setupFiles: [SAME_VALUES, CHECKS_ANSWERS],
          // To load the program anew for each file takes as long as the tests; none of them leaves anything behind in it.
          isolate: false,
          testTimeout: HANGS_MS,
          hookTimeout: HANGS_MS,
        },
      },
      {
        plugins: [statementSites()],
        test: {
          name: 'servers',
          include: ['test/integration/**/*.test.ts', 'test/examples/**/*.test.ts', 'test/faults/**/*.test.ts'],
          exclude: SEEDED,
          // To load the program anew for each file takes as long as many of them; what a test starts it stops.
          isolate: false,
          ...ON_SERVERS,
        },
      },
      {
        test: {
          name: 'operations',
          include: ALL_OPERATIONS ? ['test/operations/**/*.test.ts'] : OPERATIONS_SAMPLE,
          ...ON_SERVERS,
          // Each scenario has servers of its own; one after the other has the machine for itself.
          globalSetup: [],
          ...(ALL_OPERATIONS ? { maxWorkers: 1, sequence: { groupOrder: 2 } } : {}),
        },
      },
      {
        test: {
          name: 'seeded',
          // What was found once has been found.
          include: SEEDED,
          ...ON_SERVERS,
        },
      },
    ],
  },
});
