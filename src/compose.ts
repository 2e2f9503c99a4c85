/** The only composition root: what an API process and what a worker process are made of. */
import type { Process } from './compose/process.ts';
import type { Config } from './config.ts';
import type { Logger } from './engine/ports.ts';
import { expectSupportedServer } from './store/server-version.ts';

export type { Process };

// Each is loaded when it is asked for: a worker has no use for the doors.
export async function composeApi(config: Config, log: Logger): Promise<Process> {
  const databaseUrl = await supportedDatabase(config);
  const { apiProcess } = await import('./compose/api-process.ts');
  return apiProcess(config, databaseUrl, log);
}

export async function composeWorker(config: Config, log: Logger): Promise<Process> {
  const databaseUrl = await supportedDatabase(config);
  const { workerProcess } = await import('./compose/worker-process.ts');
  return workerProcess(config, databaseUrl, log);
}

async function supportedDatabase({ databaseUrl }: Config): Promise<string> {
  if (databaseUrl === undefined) {
    throw new Error(
      'DATABASE_URL is not set: `npm start` brings its own PostgreSQL, the api and worker parts need one.',
    );
  }
  await expectSupportedServer(databaseUrl);
  return databaseUrl;
}
