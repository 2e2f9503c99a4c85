/**
 * Consumes for as long as it is not closed. The client gives up after some errors, and is known to stop without a word after
 * others: then this makes a new one. What it had in hand comes again, as no offset passes what is not done with.
 */

import { growingDelay } from '../../../../domain/health/system-faults.ts';
import { errorMessage } from '../../../../domain/texts/error-message.ts';
import { pause } from '../../../../engine/recover/reconcile.ts';
import type { Consumer, Subscription } from '../ports.ts';
import { type ConsumerDeps, runSession } from './consumer-session.ts';

export function createKafkaConsumer(deps: ConsumerDeps, subscription: Subscription): Consumer {
  const { log, times } = deps;
  const { topics, group } = subscription;
  const closing = new AbortController();

  async function work(): Promise<void> {
    let failures = 0;
    while (!closing.signal.aborted) {
      const startedAt = performance.now();
      try {
        await runSession(deps, subscription, closing.signal);
      } catch (error) {
        if (closing.signal.aborted) return;
        // One that has consumed for a while starts again without a pause.
        failures = performance.now() - startedAt > times.stallsAfterMs ? 0 : failures + 1;
        log.warn('consuming from Kafka stopped, and starts again', {
          topics,
          group,
          failures,
          error: errorMessage(error),
        });
        await pause(growingDelay(failures + 1, times.restMs, times.maxPauseMs), closing.signal);
      }
    }
  }

  const working = work();
  return {
    async close() {
      closing.abort();
      await working;
    },
  };
}
