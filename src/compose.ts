/** The only composition root: what an API process and what a worker process are made of. */
import { apiProcess } from './compose/api-process.ts';
import type { Process } from './compose/process.ts';
import { workerProcess } from './compose/worker-process.ts';
import type { Config } from './config.ts';
import type { Logger } from './engine/ports.ts';

export type { Process };

export async function composeApi(config: Config, log: Logger): Promise<Process> {
  return apiProcess(config, requireDatabase(config), log);
}

export async function composeWorker(config: Config, log: Logger): Promise<Process> {
  return workerProcess(config, requireDatabase(config), log);
}

function requireDatabase({ databaseUrl }: Config): string {
  if (databaseUrl === undefined) {
    throw new Error(
      'DATABASE_URL is not set: `npm start` brings its own PostgreSQL, the api and worker parts need one.',
    );
  }
  return databaseUrl;
}
