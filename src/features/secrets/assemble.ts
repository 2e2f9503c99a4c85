/** Secrets at the API, which stores them, and at a worker, which uses them. */
import type { Config } from '../../config/config.ts';
import { createKeyring } from '../../engine/keyring.ts';
import type { SecretsOfTasks } from '../../engine/ports/secrets.ts';
import type { Clients } from '../../store/core/database.ts';
import { createSecrets, type Secrets } from './keep-secrets.ts';
import { createSecretStore } from './store.ts';
import { createSecretsOfTasks } from './task-secrets.ts';

export function secretsOf({ secretKeys }: Pick<Config, 'secretKeys'>, clients: Clients): Secrets {
  return createSecrets({ secrets: createSecretStore(clients), keyring: createKeyring(secretKeys) });
}

export function secretsOfTasks(
  { secretKeys, secrets, secretsShared }: Pick<Config, 'secretKeys' | 'secrets' | 'secretsShared'>,
  clients: Clients,
): SecretsOfTasks {
  return createSecretsOfTasks({
    store: createSecretStore(clients),
    keyring: createKeyring(secretKeys),
    installed: secrets,
    shared: secretsShared,
    now: () => performance.now(),
  });
}
