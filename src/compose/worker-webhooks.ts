/** The part of a worker that makes the calls of webhooks and callbacks, and forgets those that nobody asks about any more. */
import type pg from 'pg';
import { createDeliveryPump, type DeliveryDeps } from '../engine/deliver-webhooks.ts';
import { createKeyring } from '../engine/keyring.ts';
import { repeatUntil } from '../engine/sweep.ts';
import { createWebhookDeliveryStore } from '../store/webhook-deliveries.ts';

const LOOK_EVERY_MS = 500;
const FORGET_EVERY_MS = 60_000;
const KEPT_DAYS = { delivered: 7, dead: 30, callback: 4 };
const FORGOTTEN_AT_ONCE = 5_000;

export async function keepWebhooks(
  deps: Pick<DeliveryDeps, 'fetch' | 'callbackSecrets' | 'now' | 'failpoint' | 'calls' | 'log'> & {
    pool: pg.Pool;
    secretKeys: readonly string[];
  },
  signal: AbortSignal,
): Promise<void> {
  const { pool, secretKeys, log, ...rest } = deps;
  const deliveries = createWebhookDeliveryStore(pool, createKeyring(secretKeys));
  const pump = createDeliveryPump({ ...rest, deliveries, random: Math.random, log });
  await Promise.all([
    repeatUntil(signal, LOOK_EVERY_MS, 'deliver_webhooks', () => pump.pass(signal), log),
    repeatUntil(
      signal,
      FORGET_EVERY_MS,
      'forget_webhooks',
      () => deliveries.removeOld(KEPT_DAYS, FORGOTTEN_AT_ONCE),
      log,
    ),
  ]);
  await pump.idle();
}
