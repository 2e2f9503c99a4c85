/** Manages the secrets of a tenant. Nobody gets a value back: only workers open the envelopes. */
import { OrchestratorError } from '../../domain/errors.ts';
import type { Keyring } from '../../engine/keyring.ts';
import { type SecretStore, type SecretView, secretContext } from '../../engine/ports/secrets.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';

export interface SecretFields {
  value: string;
  /** Left out: as they are; null: any. */
  hosts?: string[] | null | undefined;
  description?: string | null | undefined;
}

export interface Secrets {
  put(caller: Caller, name: string, fields: SecretFields): Promise<{ secret: SecretView; created: boolean }>;
  list(caller: Caller, page: number, pageSize: number): Promise<{ items: SecretView[]; total: number }>;
  get(caller: Caller, name: string): Promise<SecretView>;
  remove(caller: Caller, name: string): Promise<void>;
}

const MAX_PER_TENANT = 1_000;
/** Concurrent writes of one secret are serialised. */
const MAX_TRIES = 5;

export function createSecrets({ secrets, keyring }: { secrets: SecretStore; keyring: Keyring | undefined }): Secrets {
  const notFound = () => new OrchestratorError('not_found', 'Secret not found');
  return {
    async put(caller, name, { value, hosts, description }) {
      const { tenantId, userId: by } = caller;
      if (keyring === undefined) {
        throw new OrchestratorError(
          'secrets_not_configured',
          'Secrets cannot be kept: SECRETS_KEY is not set, so there is nothing to encrypt them with',
        );
      }
      for (let tries = 0; tries < MAX_TRIES; tries += 1) {
        const { version: before, total } = await secrets.standing(tenantId, name);
        if (before === 0 && total >= MAX_PER_TENANT) {
          const all = `There are ${MAX_PER_TENANT} secrets already, which is all there may be`;
          throw new OrchestratorError('conflict', all);
        }
        const version = before + 1;
        const envelope = keyring.seal(value, secretContext(tenantId, name, version));
        const secret = await secrets.write({ tenantId, name, version, envelope, hosts, description, by });
        if (secret !== undefined) return { secret, created: before === 0 };
      }
      throw new OrchestratorError('conflict', 'The secret is being written by others at the same time');
    },
    list: ({ tenantId }, page, pageSize) => secrets.list(tenantId, page, pageSize),
    async get({ tenantId }, name) {
      const found = await secrets.find(tenantId, name);
      if (found === undefined) throw notFound();
      return found;
    },
    async remove({ tenantId }, name) {
      if (!(await secrets.remove(tenantId, name))) throw notFound();
    },
  };
}
