/** The only composition root: what an API process and what a worker process are made of. */

import type { Config } from '../config/config.ts';
import type { Logger } from '../engine/ports/logger.ts';
import { expectSupportedServer } from '../store/core/server-version.ts';
import { apisOf, FEATURES, workersOf } from './features.ts';
import type { Process } from './process.ts';

export type { Process };

// Each is loaded when it is asked for: a worker has no use for the API.
/** `features`: others than are delivered, for tests. */
export async function composeApi(config: Config, log: Logger, features = FEATURES): Promise<Process> {
  const databaseUrl = await supportedDatabase(config);
  const { apiProcess } = await import('./api/process.ts');
  return apiProcess({ config, databaseUrl, log }, features, await apisOf(features));
}

/** Likewise. */
export async function composeWorker(config: Config, log: Logger, features = FEATURES): Promise<Process> {
  const databaseUrl = await supportedDatabase(config);
  const { workerProcess } = await import('./worker/process.ts');
  return workerProcess({ config, databaseUrl, log }, features, await workersOf(features));
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
