/**
 * The slice of the tests that meets the database most, on PostgreSQL of the majors that are named: every store, one run of
 * every kind of action on both queues, row-level security, migrations, partitions. Those after `--` are for vitest.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

const FOLDER = 'test/integration';
const SLICE =
  /^(?:every-kind-of-action|environments|(?:.*-)?store(?:-.*)?|fence.*|database|migrate|partitions|row-level-security|tenant-data|encrypted-payloads|table-statistics)\.test\.ts$/;

const [majors, options] = split(process.argv.slice(2));
if (majors.length === 0) {
  console.error('test-postgres: name one major or several, as in `npm run test:postgres -- 14 16`');
  process.exit(1);
}
let failed = false;
for (const major of majors) {
  console.log(`== PostgreSQL ${major}`);
  const own = options.map((option) => option.replaceAll('{major}', major));
  const files = readdirSync(FOLDER)
    .filter((name) => SLICE.test(name))
    .map((name) => `${FOLDER}/${name}`);
  const { status } = spawnSync(
    process.execPath,
    ['node_modules/vitest/vitest.mjs', 'run', '--project', 'servers', ...own, ...files],
    { stdio: 'inherit', env: { ...process.env, TEST_POSTGRES_MAJOR: major } },
  );
  failed ||= status !== 0;
}
process.exit(failed ? 1 : 0);

function split(args) {
  const at = args.indexOf('--');
  return at < 0 ? [args, []] : [args.slice(0, at), args.slice(at + 1)];
}
