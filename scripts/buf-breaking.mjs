/** Compares contracts/*.proto with those of the branch `main` here: a change that breaks its clients is an error. */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';

const AGAINST = '.git#branch=main';

function git(...args) {
  return spawnSync('git', args, { encoding: 'utf8' });
}

const listed = git('ls-tree', '--name-only', 'main', 'contracts/');
if (listed.status !== 0) {
  process.stdout.write('not run: buf-breaking: there is no branch main here\n');
} else if (!listed.stdout.includes('.proto')) {
  process.stdout.write('not run: buf-breaking: main has no contracts/*.proto yet\n');
} else {
  const program = createRequire(import.meta.url).resolve('@bufbuild/buf/bin/buf');
  const { status } = spawnSync(process.execPath, [program, 'breaking', '--against', AGAINST], { stdio: 'inherit' });
  process.exitCode = status ?? 1;
}
