/**
 * Where a worker finds the secrets that a task names: the tenant's own first, then those of the installation (SECRET_<NAME>,
 * SECRETS_DIR) where that tenant may use them. What was read is cached for a few seconds, so tasks with secrets cost one query
 * in a while and tasks without cost none. A secret that is unknown is always read once more before a task fails for it.
 */

import { OrchestratorError } from '../../domain/errors.ts';
import type { Keyring } from '../../engine/keyring.ts';
import type { SecretsOfTasks } from '../../engine/ports/secrets.ts';
import { type SealedSecret, type SecretStore, secretContext, type TaskSecret } from '../../engine/ports/secrets.ts';

export interface SecretsOfTasksDeps {
  store: Pick<SecretStore, 'sealed'>;
  keyring: Keyring | undefined;
  /** Of the installation. */
  installed: Readonly<Record<string, string>>;
  /** Who may use those. */
  shared: '*' | readonly string[];
  /** Milliseconds that only go forward. */
  now(): number;
}

/** A change whose notification was lost is seen after this. */
const CACHED_MS = 5_000;
const MAX_CACHED = 1_000;

interface CachedSecret {
  at: number;
  /** Undefined: the tenant has none of that name. */
  sealed: SealedSecret | undefined;
}

export function createSecretsOfTasks({ store, keyring, installed, shared, now }: SecretsOfTasksDeps): SecretsOfTasks {
  /** By tenant and name. */
  const cache = new Map<string, CachedSecret>();
  let changes = 0;
  const keyOf = (tenantId: string, name: string) => JSON.stringify([tenantId, name]);

  async function read(tenantId: string, names: readonly string[]): Promise<ReadonlyMap<string, SealedSecret>> {
    const at = now();
    const mark = changes;
    const found = new Map((await store.sealed(tenantId, names)).map((sealed) => [sealed.name, sealed]));
    // What changed while it was read may be older than the change.
    if (mark !== changes) return found;
    if (cache.size >= MAX_CACHED) cache.clear();
    for (const name of names) cache.set(keyOf(tenantId, name), { at, sealed: found.get(name) });
    return found;
  }

  function fromInstallation(tenantId: string, name: string): TaskSecret | undefined {
    const allowed = shared === '*' || shared.includes(tenantId);
    const value = allowed && Object.hasOwn(installed, name) ? installed[name] : undefined;
    return value === undefined ? undefined : { name, value, hosts: undefined };
  }

  function open(tenantId: string, { name, version, hosts, envelope }: SealedSecret): TaskSecret {
    if (keyring === undefined) {
      throw new OrchestratorError(
        'encryption_key_missing',
        `The secret '${name}' is encrypted, and this worker has no SECRETS_KEY`,
      );
    }
    return { name, value: keyring.open(envelope, secretContext(tenantId, name, version)), hosts };
  }

  return {
    async of(tenantId, names) {
      const own = new Map<string, SealedSecret>();
      const missing: string[] = [];
      for (const name of new Set(names)) {
        const one = cache.get(keyOf(tenantId, name));
        const isFresh = one !== undefined && now() - one.at < CACHED_MS;
        if (isFresh && one.sealed !== undefined) own.set(name, one.sealed);
        else if (!isFresh || fromInstallation(tenantId, name) === undefined) missing.push(name);
      }
      if (missing.length > 0) for (const [name, sealed] of await read(tenantId, missing)) own.set(name, sealed);
      const found = new Map<string, TaskSecret>();
      for (const name of names) {
        const sealed = own.get(name);
        const secret = sealed === undefined ? fromInstallation(tenantId, name) : open(tenantId, sealed);
        if (secret === undefined) throw new OrchestratorError('secret_unknown', `There is no secret '${name}'`);
        found.set(name, secret);
      }
      return found;
    },
    forget() {
      changes += 1;
      cache.clear();
    },
  };
}
