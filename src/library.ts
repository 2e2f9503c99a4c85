/**
 * The service as a library: `createOrchestrator()` speaks to one that runs, or, given a database, runs an API and a
 * worker in this process until `stop`. Either way everything goes through the API that all clients use.
 */
import { composeApi, composeWorker, type Process } from './compose/processes.ts';
import { type Config, loadConfig } from './config/config.ts';
import {
  type Answered,
  type ExecutionOutcome,
  type OrchestratorClient,
  openClient,
  type WorkflowOutcome,
} from './library/client.ts';
import { migrateQueue } from './queue/migrate-queue.ts';
import { migrate } from './store/migrations/migrate.ts';
import { createLog } from './telemetry/log.ts';

export type { Answered, ExecutionOutcome, OrchestratorClient, WorkflowOutcome };

export interface OrchestratorOptions {
  /** Of a service that runs: `http://localhost:8000` unless said. */
  url?: string;
  /** An API key or a JWT for it. */
  token?: string;
  tenant?: string;
  /** Instead of a service that runs: where one in this process keeps its state. */
  databaseUrl?: string;
  /** With `databaseUrl`: the Redis of the queue; left out: the queue is in PostgreSQL too. */
  redisUrl?: string;
  /** With `databaseUrl`: further settings by the names of .env.template. The environment of this process is not read; `.env` and config/orchestrator.yaml are. */
  settings?: Readonly<Record<string, string>>;
}

export interface Orchestrator extends OrchestratorClient {
  /** Ends what was started here; running tasks have SHUTDOWN_GRACE_SECONDS, and what is left goes on elsewhere or later. */
  stop(): Promise<void>;
}

const DEFAULT_URL = 'http://localhost:8000';

/** Throws a ConfigError that names every setting that cannot be. */
export async function createOrchestrator(options: OrchestratorOptions = {}): Promise<Orchestrator> {
  const { url = DEFAULT_URL, token, tenant, databaseUrl } = options;
  if (databaseUrl === undefined) return { ...openClient({ url, token, tenant }), stop: () => Promise.resolve() };
  const config = configOf(databaseUrl, options);
  await migrate(databaseUrl);
  await migrateQueue(databaseUrl);
  const log = createLog(config, { logger: 'library' });
  const started: Process[] = [];
  const stop = async () => {
    // The API first: nothing new is started while the worker ends.
    for (const part of started) await part.stop();
    await log.close();
  };
  try {
    const api = await composeApi(config, log);
    const { port } = await startOf(api, started);
    await startOf(await composeWorker(config, log), started);
    const scheme = config.tls === undefined ? 'http' : 'https';
    return { ...openClient({ url: `${scheme}://127.0.0.1:${port}`, token, tenant }), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startOf(part: Process, started: Process[]): Promise<{ port: number }> {
  started.push(part);
  return part.start();
}

function configOf(databaseUrl: string, { redisUrl, settings = {} }: OrchestratorOptions): Config {
  const own = {
    HOST: '127.0.0.1',
    PORT: '0',
    WORKER_PORT: '0',
    LOG_LEVEL: 'warning',
    LOG_FILE: 'none',
    DATABASE_URL: databaseUrl,
    ...(redisUrl === undefined ? {} : { REDIS_URL: redisUrl }),
  };
  return loadConfig({ ...own, ...settings });
}
