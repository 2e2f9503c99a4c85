import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { createFlowMetrics } from '../../../../src/features/flow-runner/metrics.ts';

test('messages are counted by topic and result, and the lag is what the transport last said', async () => {
  let lag = [
    { topic: 'flow_runs', partition: 0, lag: 7 },
    { topic: 'flow_runs', partition: 1, lag: 2 },
  ];
  const metrics = createFlowMetrics({
    consumed: ['task_done'],
    lag: async () => lag,
    outboxAgeSeconds: async () => 2.5,
  });
  const registry = new Registry();
  metrics.register(registry);
  metrics.message('flow_runs', 'taken');
  metrics.message('flow_runs', 'taken');
  metrics.message('task_queue', 'published');
  metrics.lateAnswer();

  const shown = await registry.metrics();
  expect(shown).toContain('orchestrator_kafka_messages_total{topic="flow_runs",result="taken"} 2');
  expect(shown).toContain('orchestrator_kafka_messages_total{topic="task_queue",result="published"} 1');
  expect(shown).toContain('orchestrator_kafka_messages_total{topic="task_done",result="poison"} 0');
  expect(shown).toContain('orchestrator_kafka_late_answers_total 1');
  expect(shown).toContain('orchestrator_kafka_lag{topic="flow_runs",partition="0"} 7');
  expect(shown).toContain('orchestrator_kafka_outbox_age_seconds 2.5');
  // A partition that went to another group, or a topic that was deleted, is not shown for ever.
  lag = [{ topic: 'flow_runs', partition: 0, lag: 0 }];
  expect(await registry.metrics()).not.toContain('partition="1"');
});

test('what a broker or a database that is away would say is not shown, and the counters are', async () => {
  const away = () => Promise.reject(new Error('away'));
  const metrics = createFlowMetrics({ consumed: [], lag: away, outboxAgeSeconds: away });
  const registry = new Registry();
  metrics.register(registry);
  metrics.message('flow_runs', 'poison');
  const shown = await registry.metrics();
  expect(shown).toContain('orchestrator_kafka_messages_total{topic="flow_runs",result="poison"} 1');
  expect(shown).not.toMatch(/^orchestrator_kafka_(lag|outbox_age_seconds)[ {]/m);
});
