/**
 * The slice of the tests that meets the database most, on PostgreSQL of the majors that are named: every store, one run of
 * every kind of action on both queues, row-level security, migrations, partitions. Those after `--` are for vitest.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';

const FOLDER = 'test/integration';
const SLICE =
  /^(?:every-kind-of-action|environments|(?:.*-)?store(?:-.*)?|fence.*|database|migrate|partitions|row-level-security|tenant-data|encrypted-payloads|table-statistics)\.test\.ts$/;

/** Files at a time of each major, where there are several. */
const SIDE_BY_SIDE = 2;

const [majors, options] = split(process.argv.slice(2));
if (majors.length === 0) {
  console.error('test-postgres: name one major or several, as in `npm run test:postgres -- 14 16`');
  process.exit(1);
}
const files = readdirSync(FOLDER)
  .filter((name) => SLICE.test(name))
  .map((name) => `${FOLDER}/${name}`);
const results = await Promise.all(majors.map(run));
process.exitCode = results.every((passed) => passed) ? 0 : 1;

/** Side by side: while one starts its servers, or waits for its longest file, another has work for the cores. */
async function run(major) {
  const own = options.map((option) => option.replaceAll('{major}', major));
  const environment = { ...process.env, TEST_POSTGRES_MAJOR: major };
  if (majors.length > 1) environment['TEST_FILES_AT_A_TIME'] ??= String(SIDE_BY_SIDE);
  const child = spawn(
    process.execPath,
    ['node_modules/vitest/vitest.mjs', 'run', '--project', 'servers', ...own, ...files],
    { stdio: ['ignore', 'pipe', 'pipe'], env: environment },
  );
  // What each says stays together.
  const said = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => said.push(chunk));
  const [code] = await once(child, 'close');
  process.stdout.write(`== PostgreSQL ${major}\n`);
  process.stdout.write(Buffer.concat(said));
  return code === 0;
}

function split(args) {
  const at = args.indexOf('--');
  return at < 0 ? [args, []] : [args.slice(0, at), args.slice(at + 1)];
}
