import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { createServiceMetrics } from '../../../../src/features/services/metrics.ts';

test('a circuit is reported by the name of its service, the worst of its instances, and no more once it is gone', async () => {
  type State = 'closed' | 'half_open' | 'open';
  let circuits: Array<{ name: string; state: State }> = [
    { name: 'ranker', state: 'half_open' },
    { name: 'ranker', state: 'closed' },
    { name: 'down', state: 'closed' },
    { name: 'down', state: 'open' },
    { name: 'well', state: 'closed' },
  ];
  const registry = new Registry();
  createServiceMetrics(() => circuits).register(registry);
  const lines = async () =>
    (await registry.metrics()).split('\n').filter((line) => line.startsWith('orchestrator_circuit_state{'));
  expect(await lines()).toEqual([
    'orchestrator_circuit_state{service="ranker"} 1',
    'orchestrator_circuit_state{service="down"} 2',
    'orchestrator_circuit_state{service="well"} 0',
  ]);
  circuits = [];
  expect(await lines()).toEqual([]);
});
