/** What the processes of the service have in common. */
import type { Config } from '../config/config.ts';
import { errorMessage } from '../domain/texts/error-message.ts';
import type { Logger } from '../engine/ports/logger.ts';

/** What a process is started with. */
export interface ProcessStart {
  config: Config;
  databaseUrl: string;
  log: Logger;
}

export interface Process {
  start(): Promise<{ port: number }>;
  stop(): Promise<void>;
  /** Resolves, to the reason, when only a new process can help. */
  broken?: Promise<string>;
}

/** Says at start what an operator should know about how a store is set up. */
export async function announce(
  about: 'queue_setup' | 'database_setup' | 'proxy_setup',
  warnings: Promise<string[]>,
  log: Logger,
): Promise<void> {
  try {
    for (const warning of await warnings) log.warn(about, { warning });
  } catch (error) {
    log.warn(`${about}_unknown`, { error: errorMessage(error) });
  }
}
