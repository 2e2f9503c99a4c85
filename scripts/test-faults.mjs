/**
 * The long forms of the tests that break things, which `npm test` only takes a sample of: `seeds`, the mixed fault suite,
 * and `mutations`, the check of its check. What the variables mean is in docs/testing.md.
 */
import { spawnSync } from 'node:child_process';

const SEEDS = '20';
const forms = {
  seeds: { file: 'test/faults/seeds.test.ts', env: process.env.FAULT_SEED ? {} : { FAULT_SEEDS: SEEDS } },
  mutations: { file: 'test/faults/mutations.test.ts', env: { MUTATIONS: 'all' } },
};

const form = forms[process.argv[2]];
if (form === undefined) {
  console.error(`test-faults: say one of ${Object.keys(forms).join(', ')}`);
  process.exit(1);
}
const { status } = spawnSync(
  process.execPath,
  ['node_modules/vitest/vitest.mjs', 'run', '--project', 'servers', form.file],
  {
    stdio: 'inherit',
    env: { ...form.env, ...process.env },
  },
);
process.exit(status ?? 1);
