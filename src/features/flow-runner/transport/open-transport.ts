/** The transport that the settings name. Its client is loaded only then. */
import type { Config } from '../../../config/config.ts';
import type { Logger } from '../../../engine/ports/logger.ts';
import type { Transport } from './ports.ts';

/** Undefined: none is on. */
export async function openTransport(config: Config, log: Logger): Promise<Transport | undefined> {
  if (config.transport === undefined) return undefined;
  if (config.transport === 'redis-streams') {
    const { openRedisStreams } = await import('./redis-streams/transport.ts');
    return openRedisStreams(config, log);
  }
  const { createKafkaTransport } = await import('./kafka/kafka-transport.ts');
  return createKafkaTransport(config.kafka, log);
}
