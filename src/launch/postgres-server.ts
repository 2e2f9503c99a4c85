/**
 * A PostgreSQL server of our own: made, started and stopped here, reachable on 127.0.0.1 only, with a random password.
 *
 * All that is to be remembered lies in `<folder>/postgres.json` (mode 0600): port, password, where the files are. Whoever
 * calls this holds the lock of the folder (`folder-lock.ts`), so a server that is still running on these files has lost
 * the process that started it; it is stopped cleanly before ours is started.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { chown, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { z } from 'zod';
import { type Binaries, canUse, findBinaries } from './postgres-binaries.ts';
import { commandOf, isAlive } from './processes.ts';

export interface PostgresServer {
  /** Of the database `orchestrator`. */
  url: string;
  port: number;
  pid: number;
  /** The requested folder, and where its files are: below it as a rule. */
  folder: string;
  directory: string;
  /** Resolves when the server ends without having been stopped, with what it said last. */
  died: Promise<string>;
  stop(): Promise<void>;
}

export interface PostgresOptions {
  folder: string;
  /** For tests: no fsync. What was committed may be lost when the machine (not the server) stops. */
  fast?: boolean;
  /** For tests: instead of, or beside, what it is started with otherwise. */
  settings?: Record<string, string>;
  environment?: Record<string, string>;
  /** Instead of the packaged ones. */
  binaries?: Binaries;
  say(line: string): void;
}

const memorySchema = z.object({ port: z.int(), password: z.string(), directory: z.string() });
type Memory = z.infer<typeof memorySchema>;

const USER = 'orchestrator';
const DATABASE = 'orchestrator';
const START_MS = 60_000;
const STOP_MS = 30_000;
/** Where the files go when the server's user cannot reach the data folder (a private home of root). */
const FALLBACK = '/var/lib/bullmq-orchestrator';

export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const binaries = options.binaries ?? (await findBinaries());
  await mkdir(options.folder, { recursive: true });
  let memory = await recall(options.folder);
  if (memory === undefined) {
    memory = {
      port: await freePort(),
      password: randomBytes(24).toString('base64url'),
      directory: await placeFor(options, binaries),
    };
    await makeCluster(binaries, memory);
    await remember(options.folder, memory);
  }
  await requireSameMajor(memory.directory, binaries);
  await stopOrphan(memory.directory, options.say);
  if (!(await isFree(memory.port))) {
    memory = { ...memory, port: await freePort() };
    await remember(options.folder, memory);
  }
  const server = await launch(binaries, memory, options);
  try {
    await createDatabase(memory);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}

/** The database that a start in this folder is running, for a worker beside it; undefined when none is. */
export async function runningPostgresUrl(folder: string): Promise<string | undefined> {
  const memory = await recall(folder);
  return memory === undefined || (await isFree(memory.port)) ? undefined : urlOf(memory, DATABASE);
}

function urlOf(memory: Memory, database: string): string {
  return `postgresql://${USER}:${memory.password}@127.0.0.1:${memory.port}/${database}`;
}

async function recall(folder: string): Promise<Memory | undefined> {
  let text: string;
  try {
    text = await readFile(path.join(folder, 'postgres.json'), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  return memorySchema.parse(JSON.parse(text));
}

async function remember(folder: string, memory: Memory): Promise<void> {
  const file = path.join(folder, 'postgres.json');
  await writeFile(`${file}.new`, `${JSON.stringify(memory, null, 2)}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
}

async function placeFor(options: PostgresOptions, { owner }: Binaries): Promise<string> {
  const directory = path.resolve(options.folder, 'postgres');
  // What an interrupted first start left behind was never remembered, so nothing of value is in it.
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { mode: 0o700 });
  if (owner === undefined) return directory;
  await chown(directory, owner.uid, owner.gid);
  if (await canUse(directory, owner)) return directory;
  await rm(directory, { recursive: true, force: true });
  await mkdir(FALLBACK, { recursive: true, mode: 0o755 });
  const elsewhere = await mkdtemp(path.join(FALLBACK, 'data-'));
  await chown(elsewhere, owner.uid, owner.gid);
  options.say(
    `The user "postgres" cannot reach ${path.resolve(options.folder)}, so the database's files are in ${elsewhere}.`,
  );
  return elsewhere;
}

async function makeCluster(binaries: Binaries, memory: Memory): Promise<void> {
  // initdb reads the password from a file, as the server's user; the folder is closed to everybody else.
  const passwordFile = path.join(path.dirname(memory.directory), `.${path.basename(memory.directory)}.password`);
  await writeFile(passwordFile, memory.password, { mode: 0o600 });
  try {
    if (binaries.owner !== undefined) await chown(passwordFile, binaries.owner.uid, binaries.owner.gid);
    const flags = [
      `--pgdata=${memory.directory}`,
      `--username=${USER}`,
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
    ];
    const locale = ['--encoding=UTF8', '--locale=C', ...(hasOwnLocales(binaries) ? OWN_LOCALE : [])];
    const child = spawn(binaries.initdb, [...flags, ...locale], {
      cwd: '/',
      env: {},
      stdio: ['ignore', 'ignore', 'pipe'],
      ...binaries.owner,
    });
    const said = lastWords(child);
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    if (code !== 0) throw new Error(`initdb failed in ${memory.directory}: ${said()}`);
  } finally {
    await rm(passwordFile, { force: true });
  }
}

/** Since 17 the server knows the characters of all languages by itself, and no library of the system changes their order. */
const OWN_LOCALE = ['--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
const hasOwnLocales = ({ version }: Binaries) => Number.parseInt(version, 10) >= 17;

async function requireSameMajor(directory: string, binaries: Binaries): Promise<void> {
  const made = (await readFile(path.join(directory, 'PG_VERSION'), 'utf8')).trim();
  const ours = binaries.version.split('.')[0];
  if (made !== ours) {
    throw new Error(
      `${directory} was made by PostgreSQL ${made} and the packaged server is ${ours}: run pg_dump with the older one, or set DATABASE_URL.`,
    );
  }
}

/** A server on these files whose supervisor was killed, or the lock file of one that is gone. */
async function stopOrphan(directory: string, say: (line: string) => void): Promise<void> {
  const file = path.join(directory, 'postmaster.pid');
  const pid = Number((await readFile(file, 'utf8').catch(() => '')).split('\n')[0]);
  if (!Number.isInteger(pid) || pid <= 1 || !isAlive(pid)) return; // The server removes a stale file by itself.
  const command = await commandOf(pid);
  if (command !== undefined && !(command.includes('postgres') && command.includes(directory))) {
    // The number was given to another program since; the server would not dare to start.
    await rm(file, { force: true });
    return;
  }
  say(`Stopping a PostgreSQL server (pid ${pid}) whose supervisor is gone.`);
  process.kill(pid, 'SIGINT'); // Fast shutdown: roll back what is open, write a checkpoint, end.
  const until = Date.now() + STOP_MS;
  while (isAlive(pid)) {
    if (Date.now() > until)
      throw new Error(`The PostgreSQL server with pid ${pid} on ${directory} does not stop: stop it by hand.`);
    await sleep(50);
  }
}

async function launch(binaries: Binaries, memory: Memory, options: PostgresOptions): Promise<PostgresServer> {
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    port: String(memory.port),
    unix_socket_directories: '',
    // On the queue in PostgreSQL a worker holds one for each of its lanes.
    max_connections: '400',
    fsync: options.fast ? 'off' : 'on',
    full_page_writes: options.fast ? 'off' : 'on',
    synchronous_commit: 'on',
    timezone: 'UTC',
    log_timezone: 'UTC',
    lc_messages: 'C',
    ...options.settings,
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const start = () =>
    // A group of its own: Ctrl-C in a terminal must not reach the server before the workers have drained.
    spawn(binaries.postgres, ['-D', memory.directory, ...flags], {
      cwd: '/',
      env: { ...options.environment },
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
      ...binaries.owner,
    });

  const until = Date.now() + START_MS;
  for (;;) {
    const child = start();
    const said = lastWords(child);
    const ended = new Promise<void>((resolve) => {
      child.once('error', () => resolve());
      child.once('close', () => resolve());
    });
    const ready = await Promise.race([answers(memory, until), ended.then(() => false)]);
    if (ready) return handle({ child, ended, said }, memory, options.folder);
    child.kill('SIGINT');
    await ended;
    // Backends of a killed server take a moment to notice, and hold its shared memory until then.
    const passing = said().includes('still in use') || said().includes('is another postmaster');
    if (!passing || Date.now() > until) throw new Error(`PostgreSQL did not start in ${memory.directory}: ${said()}`);
    await sleep(200);
  }
}

function handle(
  { child, ended, said }: { child: ChildProcess; ended: Promise<void>; said: () => string },
  memory: Memory,
  folder: string,
): PostgresServer {
  let stopping = false;
  const pid = child.pid ?? 0;
  return {
    url: urlOf(memory, DATABASE),
    port: memory.port,
    pid,
    folder,
    directory: memory.directory,
    died: new Promise((resolve) => {
      void ended.then(() => {
        if (!stopping) resolve(said());
      });
    }),
    async stop() {
      stopping = true;
      child.kill('SIGINT');
      const stopTimeout = setTimeout(() => child.kill('SIGQUIT'), STOP_MS);
      await ended;
      clearTimeout(stopTimeout);
    },
  };
}

/** The last lines of a program's standard error. It is always read to the end, or the program would block. */
function lastWords(child: ChildProcess): () => string {
  let tail = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    tail = (tail + text).slice(-4_000);
  });
  return () => tail.trim().split('\n').slice(-8).join('\n');
}

async function answers(memory: Memory, until: number): Promise<boolean> {
  while (Date.now() < until) {
    const client = new pg.Client({ connectionString: urlOf(memory, 'postgres'), connectionTimeoutMillis: 2_000 });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.query('SELECT 1');
      return true;
    } catch {
      await sleep(50);
    } finally {
      await client.end().catch(() => undefined);
    }
  }
  return false;
}

async function createDatabase(memory: Memory): Promise<void> {
  const client = new pg.Client({ connectionString: urlOf(memory, 'postgres') });
  await client.connect();
  try {
    const existing = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE]);
    if (existing.rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
  } finally {
    await client.end();
  }
}

export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}

/** Below the ephemeral ports of outgoing connections: one of those could take the port before the server listens. */
const FIRST_PORT = 10_000;
const LAST_PORT = 32_000;
const PORTS_TRIED = 100;

export async function freePort(): Promise<number> {
  for (let tries = 0; tries < PORTS_TRIED; tries += 1) {
    const port = randomInt(FIRST_PORT, LAST_PORT);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port was found between ${FIRST_PORT} and ${LAST_PORT}`);
}
