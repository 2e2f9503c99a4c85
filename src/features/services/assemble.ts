/** The registry of services at the API. */
import type { ApiParts } from '../../feature.ts';
import { createCircuitStore } from './circuit-store.ts';
import { createRegistry, type Registry } from './registry.ts';
import { createServiceStore } from './store.ts';

export function registryOf({
  config,
  pool,
  checkAddress,
}: Pick<ApiParts, 'config' | 'pool' | 'checkAddress'>): Registry {
  return createRegistry({
    services: createServiceStore(pool),
    circuits: createCircuitStore(pool),
    configured: config.services,
    checkAddress,
  });
}
