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

/** What takes long, and mostly waits: begun at the end of its group it would be all that is left. */
const BEGUN_FIRST = [
  'test/property/simulation.test.ts',
  'test/faults/deaf-worker.test.ts',
  'test/operations/locked-table.test.ts',
  'test/integration/worker-loss.test.ts',
  'test/faults/scenarios/sleeping-runs.test.ts',
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isFirst = ({ moduleId }: TestSpecification) => BEGUN_FIRST.some((file) => moduleId.endsWith(file));
    const sorted = await super.sort(files);
    return [...sorted.filter(isFirst), ...sorted.filter((file) => !isFirst(file))];
  }
}

const ALL_OPERATIONS = process.env['OPERATIONS'] === 'all';

/** Each takes about a minute: `npm run test:operations` has them all. */
const OPERATIONS_SAMPLE = ['test/operations/locked-table.test.ts'];

const ON_SERVERS = {
  setupFiles: [SAME_VALUES],
  globalSetup: ['test/support/global-setup.ts'],
  // Far beyond what any of them takes where it has a core for itself.
  testTimeout: 120_000,
  hookTimeout: 120_000,
  // Each file starts an API and workers of its own, and often waits for locks to run out: five keep two cores busy.
  maxWorkers: 5,
  sequence: { groupOrder: 1 },
};

/** Tests below test/unit and test/property need no servers; the others get a PostgreSQL and a Redis, started once. */
export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: 'pure',
          include: ['test/unit/**/*.test.ts', 'test/property/**/*.test.ts'],
          exclude: [RUNS_ON_SERVERS],
          setupFiles: [SAME_VALUES],
          // To load the program anew for each file takes as long as the tests; none of them leaves anything behind in it.
          isolate: false,
          maxWorkers: 3,
          testTimeout: 60_000,
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
          // What only a machine under load brings about is told at the end of `.ci/run`, and does not hold back the rest.
          retry: 1,
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
