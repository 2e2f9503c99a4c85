/** Kafka as the transport of flow runs: what every transport promises. Its own are in kafka-transport.test.ts. */
import { bareEnvironment, loadConfig } from '../../src/config/config.ts';
import { createKafkaTransport } from '../../src/features/flow-runner/transport/kafka/kafka-transport.ts';
import { startKafka } from '../harness/kafka/start-kafka.ts';
import { createTestLog } from '../harness/test-log.ts';
import { type RawMessage, type TransportWorld, transportConformance } from '../support/transport-conformance.ts';

const TIMES = { restMs: 100, sessionMs: 6_000, heartbeatMs: 500, maxPauseMs: 500 };

transportConformance('Kafka', async (): Promise<TransportWorld> => {
  const kafka = await startKafka();
  const settingsOf = (offsetReset: 'latest' | 'earliest') =>
    loadConfig({
      ...bareEnvironment(),
      KAFKA_BOOTSTRAP_SERVERS: kafka.servers.join(','),
      KAFKA_AUTO_OFFSET_RESET: offsetReset,
    }).kafka;
  const open = (offsetReset: 'latest' | 'earliest') =>
    createKafkaTransport(settingsOf(offsetReset), createTestLog(), TIMES);
  return {
    name: 'kafka',
    open,
    openSuccessor: () => open('earliest'),
    member: {
      module: 'features/flow-runner/transport/kafka/kafka-transport.js',
      make: 'createKafkaTransport',
      options: [settingsOf('earliest')],
    },
    createTopic: kafka.createTopic,
    async write(topic, messages) {
      await kafka.produce(
        messages.map(({ key, ...message }) => ({ topic, ...message, ...(key === null ? {} : { key }) })),
      );
    },
    read: async (topic): Promise<RawMessage[]> =>
      (await kafka.read(topic)).map(({ key, value, headers }) => ({ key, value, headers })),
    away: kafka.setBrokerDown,
    back: kafka.setBrokerUp,
    async moveBeyondEnd(group, topic) {
      await kafka.commit(group, topic, 0, 1_000_000);
    },
    close: kafka.stop,
  };
});
