/** A database, the API and a worker on this machine, as separate processes under one supervisor. */
import { fork } from 'node:child_process';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { type Config, environmentWith } from '../config/config.ts';
import { programFile } from '../program-file.ts';
import { projectRoot } from '../project-root.ts';
import { lockFolder } from './folder-lock.ts';
import { type PostgresServer, startPostgres } from './postgres-server.ts';
import { reloadOnChange } from './reload.ts';
import { createSupervisor, EXIT_CANNOT_START, type Supervisor } from './supervisor.ts';

export interface LaunchOptions {
  config: Config;
  /** Compile and restart when a source changes. */
  watch: boolean;
  /** Aborted when everything is to be stopped in good order. */
  ending: AbortSignal;
  /** Aborted when it is to be stopped at once. */
  atOnce: AbortSignal;
  say(line: string): void;
}

/** The process that cannot start has printed the reason. */
export class CannotStart extends Error {}

/** The timeout of a child beyond the grace period of its tasks. */
const STOP_MARGIN_MS = 12_000;
const READY_POLL_MS = 100;
const HEALTH_TIMEOUT_MS = 2_000;

/** Resolves when all is stopped again. */
export async function launch(options: LaunchOptions): Promise<void> {
  const { config, say } = options;
  const cleanup: Array<() => Promise<void>> = [];
  try {
    const failures: Array<Promise<never>> = [];
    let databaseUrl = config.databaseUrl;
    if (databaseUrl === undefined) {
      const lock = await lockFolder(config.dataDir);
      cleanup.push(() => lock.release());
      const server = await supervisePostgres(config, say);
      cleanup.push(() => server.stop());
      failures.push(server.failed);
      databaseUrl = server.url;
    }
    const environment = environmentWith({ DATABASE_URL: databaseUrl });
    await migrateIn(environment);
    if (options.ending.aborted) return;

    const supervisor = createSupervisor({
      children: ['api', 'worker'].map((name) => ({ name, module: entry(name), environment })),
      say,
    });
    failures.push(supervisor.failed);
    cleanup.push(() => stopChildren(supervisor, options));
    supervisor.start();
    if (options.watch) {
      const restart = () => supervisor.restart(STOP_MARGIN_MS);
      cleanup.push(reloadOnChange({ root: projectRoot(), restart, say }));
    }

    const stopped = new Promise<void>((resolve) => {
      if (options.ending.aborted) resolve();
      options.ending.addEventListener('abort', () => resolve(), { once: true });
    });
    const welcome = announce(supervisor, config, options.ending, say);
    await Promise.race([stopped, ...failures, welcome.then(() => stopped)]);
    say('Stopping …');
  } finally {
    for (const step of cleanup.reverse()) await step();
  }
}

function entry(name: string): string {
  return programFile(`src/bin/${name}.js`);
}

/** In a process of its own: its modules are of no use afterwards, and it prints its own errors. */
async function migrateIn(environment: Readonly<Record<string, string | undefined>>): Promise<void> {
  const child = fork(entry('migrate'), [], { env: environment, stdio: 'inherit' });
  const code = await new Promise((resolve, reject) => {
    child.once('exit', resolve);
    child.once('error', reject);
  });
  // It has printed the reason.
  if (code === EXIT_CANNOT_START) throw new CannotStart();
  if (code !== 0) throw new Error('The database could not be brought to the newest schema.');
}

interface SupervisedPostgres {
  url: string;
  stop(): Promise<void>;
  failed: Promise<never>;
}

/** Starts the server again when it ends by itself; on the same port, which the children know. */
async function supervisePostgres(config: Config, say: (line: string) => void): Promise<SupervisedPostgres> {
  let server: PostgresServer = await startPostgres({ folder: config.dataDir, say });
  const { url } = server;
  let stopping = false;
  let restarting: Promise<void> = Promise.resolve();
  const failed = new Promise<never>((_, reject) => {
    const watchOver = (current: PostgresServer) => {
      void current.died.then((words) => {
        if (stopping) return;
        say(`PostgreSQL ended by itself and is started again. It said last: ${words}`);
        restarting = startPostgres({ folder: config.dataDir, say }).then((next) => {
          server = next;
          if (next.url !== url) reject(new Error('PostgreSQL lost its port to another program.'));
          watchOver(next);
        }, reject);
      });
    };
    watchOver(server);
  });
  failed.catch(() => undefined); // `launch` waits for it later.
  return {
    url,
    failed,
    async stop() {
      stopping = true;
      await restarting;
      await server.stop();
    },
  };
}

async function stopChildren(supervisor: Supervisor, options: LaunchOptions): Promise<void> {
  const graceMs = options.config.shutdownGraceSeconds * 1_000 + STOP_MARGIN_MS;
  const graceful = supervisor.stop(graceMs);
  const immediate = new Promise<void>((resolve) => {
    const now = () => resolve(supervisor.stop(0));
    if (options.atOnce.aborted) now();
    options.atOnce.addEventListener('abort', now, { once: true });
  });
  await Promise.race([graceful, immediate]);
}

async function announce(
  supervisor: Supervisor,
  config: Config,
  ending: AbortSignal,
  say: (line: string) => void,
): Promise<void> {
  const [{ port }] = await Promise.all([supervisor.ready('api'), supervisor.ready('worker')]);
  const host = config.host === '0.0.0.0' || config.host === '::' ? '127.0.0.1' : config.host;
  const base = `${config.tls === undefined ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
  // It has no client certificate to probe with; the API is known to listen.
  const canProbe = config.tls?.clients?.required !== true;
  while (canProbe && !ending.aborted && !(await isHealthy(base)))
    await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
  if (ending.aborted) return;
  say(
    [
      '',
      'The orchestrator is ready.',
      `  API         ${config.publicUrl ?? base}`,
      `  Docs        ${config.publicUrl ?? base}/docs`,
      `  Bull Board  ${config.publicUrl ?? base}/admin/queues`,
      config.authentication.required
        ? '  Clients need credentials: a key or a token.'
        : `  Nobody has to sign in${host === config.host ? ', so it listens on this machine only; API_KEY or AUTH_MODE=none lets others in' : ''}.`,
      '  Ctrl-C stops it.',
      '',
    ].join('\n'),
  );
}

/** Probes our own child on this machine, regardless of the name in its certificate. */
function isHealthy(base: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = base.startsWith('https:') ? httpsRequest : httpRequest;
    const options = { timeout: HEALTH_TIMEOUT_MS, rejectUnauthorized: false };
    const call = request(`${base}/health`, options, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    call.once('timeout', () => call.destroy());
    call.once('error', () => resolve(false));
    call.end();
  });
}
