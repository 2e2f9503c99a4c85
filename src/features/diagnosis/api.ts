/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { createLateEffectReader } from '../../store/views/late-effects.ts';
import { peersOf } from '../peers/assemble.ts';
import { registryOf } from '../services/assemble.ts';
import { diagnosisOf } from './assemble.ts';
import { createSystemHealth } from './check-system.ts';
import { engineHealthRoutes } from './engine-routes.ts';
import { whyRoutes } from './routes.ts';
import { systemHealthRoutes } from './system-routes.ts';

export const api = featureApi([whyRoutes, engineHealthRoutes, systemHealthRoutes], (parts) => {
  const { config, backend, queue, everyTenant, engineHealth } = parts;
  const { why, problems, close } = diagnosisOf(parts);
  const registry = registryOf(parts);
  const systemHealth = createSystemHealth({
    database: () => everyTenant.query('SELECT 1'),
    queue: { name: backend.kind === 'redis' ? 'redis' : 'queue', ping: queue.ping },
    dependencies: parts.dependencies,
    engine: engineHealth,
    registry,
    peers: peersOf(config, everyTenant),
    timeoutMs: config.healthCheckTimeoutMs,
    now: () => performance.now(),
  });
  const lateEffects = createLateEffectReader(parts.pool);
  return {
    ...{ why, problems, systemHealth, engineHealth, registry, lateEffects },
    clock: parts.clock,
    hooks: { close },
  };
});
