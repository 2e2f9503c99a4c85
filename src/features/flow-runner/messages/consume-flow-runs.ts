/** Takes the messages of flow runs in, in the background of an API process, where a transport is on. */
import { once } from 'node:events';
import type { Config } from '../../../config/config.ts';
import type { Logger } from '../../../engine/ports/logger.ts';
import type { HandleMessages, Transport } from '../transport/ports.ts';

export interface ConsumeDeps {
  config: Pick<Config, 'kafka' | 'flowTransport'>;
  log: Logger;
  handle: HandleMessages;
}

/** Resolves when the signal has aborted, what was in hand is done with or given back, and the transport is closed. */
export async function consumeFlowRuns(deps: ConsumeDeps, transport: Transport, signal: AbortSignal): Promise<void> {
  const { config, log, handle } = deps;
  const topic = config.flowTransport.runs;
  const consumer = transport.consume({ topics: [topic], group: config.kafka.group, handle });
  log.info('flow runs are taken from messages', { transport: transport.name, topic });
  if (!signal.aborted) await once(signal, 'abort');
  await consumer.close();
  await transport.close();
}
