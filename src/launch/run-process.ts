/** The life of the API and of a worker: start, notify the supervisor, work until a signal, drain, end. */
import { type Config, ConfigError, loadConfig } from '../config/config.ts';
import { UnsupportedServer } from '../store/core/server-version.ts';
import { createLog, type Logger } from '../telemetry/log.ts';
import { startWatchdog } from '../watchdog/watchdog.ts';
import { endRequests } from './end-requests.ts';
import { runningPostgresUrl } from './postgres-server.ts';
import { EXIT_CANNOT_START } from './supervisor.ts';

export interface Service {
  start(): Promise<{ port: number }>;
  stop(): Promise<void>;
  /** Resolves, to the reason, when only a new process can help. */
  broken?: Promise<string>;
}

/** EX_SOFTWARE of sysexits.h: a new process may do better. */
const EXIT_BROKEN = 70;
/** The timeout of `stop` beyond the grace period of the tasks. */
const STOP_MARGIN_MS = 10_000;

export async function runProcess(
  name: 'api' | 'worker',
  compose: (config: Config, log: Logger) => Promise<Service>,
): Promise<void> {
  const settings = configOrExit();
  // Beside an `npm start` on this machine a further worker just shares the load.
  const databaseUrl = settings.databaseUrl ?? (await runningPostgresUrl(settings.dataDir));
  if (databaseUrl === undefined) {
    exitBecause(`The ${name} needs DATABASE_URL, or an \`npm start\` in DATA_DIR, which brings a database of its own.`);
  }
  const config: Config = { ...settings, databaseUrl };
  const log = createLog(config, { logger: name });
  if (config.withoutEffect.length > 0) log.warn('config.without_effect', { variables: config.withoutEffect });
  process.on('uncaughtException', (error, origin) => {
    log.error('process.crashed', { error, origin });
    // The state is unknown now. Everything that was acknowledged is in the database, and the supervisor starts a new process.
    void log.close().finally(() => process.exit(1));
  });

  if (config.blockedSeconds > 0) startWatchdog({ blockedMs: config.blockedSeconds * 1_000 });
  const ending = endRequested(config.startedByNpm);
  const service = await compose(config, log).catch((error: unknown) => {
    if (error instanceof UnsupportedServer) exitBecause(error.message);
    throw error;
  });
  const { port } = await service.start().catch((error: NodeJS.ErrnoException) => {
    // Not final: a predecessor that is still stopping releases the port in a moment.
    if (error.code === 'EADDRINUSE')
      log.error('process.port_in_use', {
        detail: error.message,
        remedy: `stop the other program or set ${name === 'api' ? 'PORT' : 'WORKER_PORT'}`,
      });
    else log.error('process.start_failed', { error });
    process.exit(1);
  });
  log.info('process.ready', { port, pid: process.pid });
  process.send?.({ ready: true, port });

  const broken = service.broken?.then((reason) => {
    log.error('process.broken', { reason });
    return { why: reason, code: EXIT_BROKEN };
  });
  const { why, code } = await Promise.race([
    ending.then((reason) => ({ why: reason, code: 0 })),
    ...(broken === undefined ? [] : [broken]),
  ]);
  log.info('process.stopping', { why });
  const stopTimeout = setTimeout(
    () => {
      log.error('process.stop_took_too_long');
      process.exit(code === 0 ? 1 : code);
    },
    config.shutdownGraceSeconds * 1_000 + STOP_MARGIN_MS,
  );
  await service.stop();
  clearTimeout(stopTimeout);
  log.info('process.stopped');
  await log.close();
  process.exit(code);
}

/** Exits with one sentence per fault if the configuration is invalid. */
export function configOrExit(options: { listens?: boolean } = {}): Config {
  try {
    return loadConfig(undefined, options);
  } catch (error) {
    if (error instanceof ConfigError) exitBecause(error.message);
    throw error;
  }
}

export function exitBecause(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(EXIT_CANNOT_START);
}

function endRequested(startedByNpm: boolean): Promise<string> {
  // Ctrl-C reaches all processes of a terminal at once; a supervisor then sends SIGTERM in its own order.
  const signals = process.connected === true ? (['SIGTERM'] as const) : (['SIGTERM', 'SIGINT'] as const);
  if (process.connected === true) process.on('SIGINT', () => undefined);
  const { ending } = endRequests({ signals, startedByNpm });
  return new Promise((resolve) => {
    ending.addEventListener('abort', () => resolve(String(ending.reason)));
    // An orphan would never be stopped.
    process.once('disconnect', () => resolve('the supervisor is gone'));
  });
}
