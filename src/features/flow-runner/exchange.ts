/**
 * The messages of flow runs in an API process: what comes in by the topics of `handlers` goes to them, what is decided is
 * published. Everything stands in PostgreSQL, so any number of processes may do this, and any of them may end at any time.
 */
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import { pause, repeatUntil } from '../../engine/recover/reconcile.ts';
import type { OutboxStore } from './outbox/outbox-store.ts';
import type { Publisher } from './outbox/publisher.ts';
import type { HandleMessages, PartitionLag, Transport } from './transport/ports.ts';

const OPEN_AGAIN_MS = 5_000;
const SUBSCRIBE_EVERY_MS = 60_000;
const CLOSE_EVERY_MS = 5_000;

export interface ExchangeDeps {
  /** Undefined: no transport is on. */
  open(): Promise<Transport | undefined>;
  group: string;
  /** By topic. */
  handlers: ReadonlyMap<string, HandleMessages>;
  outbox: Pick<OutboxStore, 'subscribe' | 'closeUnwanted'>;
  publisher(transport: Transport): Publisher;
  publishesDeadLetters: boolean;
  log: Logger;
}

export interface Exchange {
  /** There may be something to publish. */
  wake(): void;
  lag(): Promise<PartitionLag[]>;
  /** Rejects when the broker does not answer. */
  ping(): Promise<void>;
  /** Until the signal aborts. */
  work(signal: AbortSignal): Promise<void>;
}

export function createExchange(deps: ExchangeDeps): Exchange {
  const { group, handlers, log } = deps;
  const topics = [...handlers.keys()];
  let transport: Transport | undefined;
  let publisher: Publisher | undefined;

  const handle: HandleMessages = async (messages, signal) => {
    const handler = handlers.get(messages[0]?.topic ?? '');
    return handler === undefined ? messages.length : handler(messages, signal);
  };

  async function opened(signal: AbortSignal): Promise<Transport | undefined> {
    while (!signal.aborted) {
      try {
        return await deps.open();
      } catch (error) {
        log.error('transport_not_opened', { error: errorMessage(error) });
        await pause(OPEN_AGAIN_MS, signal);
      }
    }
    return undefined;
  }

  async function background(signal: AbortSignal): Promise<void> {
    const subscribe = () => (deps.publishesDeadLetters ? deps.outbox.subscribe() : Promise.resolve());
    await Promise.all([
      repeatUntil({ signal, log }, SUBSCRIBE_EVERY_MS, 'subscribe_dead_letters', subscribe),
      repeatUntil({ signal, log }, CLOSE_EVERY_MS, 'close_unwanted_tasks', deps.outbox.closeUnwanted),
      publisher?.work(signal),
    ]);
  }

  return {
    wake: () => publisher?.wake(),
    lag: async () => transport?.lag(group, topics) ?? [],
    async ping() {
      if (transport === undefined) throw new Error('no connection was opened yet');
      await transport.ping();
    },
    async work(signal) {
      transport = await opened(signal);
      if (transport === undefined) return;
      publisher = deps.publisher(transport);
      const consumer = transport.consume({ topics, group, handle });
      log.info('flow runs are taken from messages', { transport: transport.name, topics });
      try {
        await background(signal);
      } finally {
        await consumer.close();
        await transport.close();
      }
    },
  };
}
