/** The worker's part: it delivers webhooks and callbacks, and removes old deliveries. */

import { createKeyring } from '../../engine/keyring.ts';
import { repeatUntil } from '../../engine/recover/reconcile.ts';
import type { FeatureWorker } from '../../feature.ts';
import { createDeliveryPump } from './deliver-webhooks.ts';
import { createWebhookDeliveryStore } from './delivery-store.ts';

const POLL_EVERY_MS = 500;
const FORGET_EVERY_MS = 60_000;
const RETENTION_DAYS = { delivered: 7, dead: 30, callback: 4 };
const FORGOTTEN_AT_ONCE = 5_000;

export const worker: FeatureWorker = {
  open({ pool, config, fetch, now, failpoint, callSpans: calls, log }) {
    const deliveries = createWebhookDeliveryStore(pool, createKeyring(config.secretKeys));
    const pump = createDeliveryPump({
      ...{ deliveries, fetch, failpoint, calls, log },
      callbackSecrets: config.webhookSecrets,
      breakers: config.circuitBreakers,
      now: () => new Date(now()),
      random: Math.random,
    });
    const forget = () => deliveries.removeOld(RETENTION_DAYS, FORGOTTEN_AT_ONCE);
    return {
      async work(signal) {
        await Promise.all([
          repeatUntil({ signal, log }, POLL_EVERY_MS, 'deliver_webhooks', () => pump.pass(signal)),
          repeatUntil({ signal, log }, FORGET_EVERY_MS, 'forget_webhooks', forget),
        ]);
        await pump.idle();
      },
    };
  },
};
