/**
 * The long forms of tests of which `npm test` only takes a sample: `seeds`, the mixed fault suite, `mutations`, the check of
 * its check, and `semantics`, random definitions against the model, `fuzz`, requests of all kinds to every operation,
 * `operations`, faults of operation one by one, and `flows`, messages of Kafka by the hundred thousand. What the variables
 * mean is in docs/testing.md.
 */
import { spawnSync } from 'node:child_process';

const SEEDS = '20';
const DEFINITIONS = '1000';
const forms = {
  seeds: { file: 'test/faults/seeds.test.ts', env: process.env.FAULT_SEED ? {} : { FAULT_SEEDS: SEEDS } },
  fuzz: { file: 'test/fuzz/fuzz.test.ts', env: { FUZZ_REQUESTS: '10000' } },
  semantics: { file: 'test/property/semantics.test.ts', env: { SEMANTICS_RUNS: DEFINITIONS } },
  operations: {
    file: 'test/operations/',
    // One at a time: each has servers of its own.
    options: ['--project', 'operations', '--maxWorkers', '1'],
    env: { OPERATIONS: 'all' },
  },
  flows: {
    file: 'test/faults/flow-load.test.ts',
    options: ['--project', 'servers'],
    env: {
      ...{ FLOW_MESSAGES: '100000', FLOW_REBALANCES: '20' },
      ...{ FLOW_BROKERS_AWAY_SECONDS: '60', FLOW_DATABASE_AWAY_SECONDS: '30' },
    },
  },
  mutations: { file: 'test/faults/mutations.test.ts', env: { MUTATIONS: 'all' } },
};

const form = forms[process.argv[2]];
if (form === undefined) {
  console.error(`test-long: say one of ${Object.keys(forms).join(', ')}`);
  process.exit(1);
}
const { status } = spawnSync(
  process.execPath,
  ['node_modules/vitest/vitest.mjs', 'run', ...(form.options ?? ['--project', 'seeded']), form.file],
  {
    stdio: 'inherit',
    env: { ...form.env, ...process.env },
  },
);
process.exit(status ?? 1);
