/** Whether and with what the payloads of executions are encrypted. */
import type { Config } from '../config/config.ts';
import { UnreadablePayload } from '../domain/errors.ts';
import { createKeyring } from '../engine/keyring.ts';
import { isTransient, needsRepair } from '../store/core/transient.ts';
import { createPayloads, type Payloads } from '../store/payloads/payloads.ts';

export function payloadsOf({ secretKeys, encryptPayloads }: Pick<Config, 'secretKeys' | 'encryptPayloads'>): Payloads {
  return createPayloads(createKeyring(secretKeys), encryptPayloads, () => performance.now());
}

/** What is wrong with a store, or with what this process has been given, and not with the task. */
export function isPassing(error: unknown): boolean {
  return isTransient(error) || needsRepair(error) || error instanceof UnreadablePayload;
}
