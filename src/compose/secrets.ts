/** Secrets at the API, which keeps them, and at a worker, which uses them. */
import type pg from 'pg';
import type { Config } from '../config.ts';
import { createKeyring } from '../engine/keyring.ts';
import { createSecrets, type Secrets } from '../engine/secrets.ts';
import { createSecretsOfTasks, type SecretsOfTasks } from '../engine/secrets-of-tasks.ts';
import { createSecretStore } from '../store/secrets.ts';

export function secretsOf({ secretKeys }: Pick<Config, 'secretKeys'>, pool: pg.Pool): Secrets {
  return createSecrets({ secrets: createSecretStore(pool), keyring: createKeyring(secretKeys) });
}

export function secretsOfTasks(
  { secretKeys, secrets, secretsShared }: Pick<Config, 'secretKeys' | 'secrets' | 'secretsShared'>,
  pool: pg.Pool,
): SecretsOfTasks {
  return createSecretsOfTasks({
    store: createSecretStore(pool),
    keyring: createKeyring(secretKeys),
    installed: secrets,
    shared: secretsShared,
    now: () => performance.now(),
  });
}
