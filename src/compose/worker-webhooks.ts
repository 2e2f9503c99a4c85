/** The part of a worker that makes the calls of webhooks, and forgets those that nobody asks about any more. */
import type pg from 'pg';
import { createWebhookPump, type DeliverWebhooksDeps } from '../engine/deliver-webhooks.ts';
import { createKeyring } from '../engine/keyring.ts';
import { repeatUntil } from '../engine/sweep.ts';
import { createWebhookDeliveryStore } from '../store/webhooks.ts';

const LOOK_EVERY_MS = 500;
const FORGET_EVERY_MS = 60_000;
const KEPT_DAYS = { delivered: 7, dead: 30 };
const FORGOTTEN_AT_ONCE = 5_000;

export async function keepWebhooks(
  deps: Pick<DeliverWebhooksDeps, 'fetch' | 'now' | 'failpoint' | 'calls' | 'log'> & {
    pool: pg.Pool;
    secretKeys: readonly string[];
  },
  signal: AbortSignal,
): Promise<void> {
  const { pool, secretKeys, log, ...rest } = deps;
  const deliveries = createWebhookDeliveryStore(pool, createKeyring(secretKeys));
  const pump = createWebhookPump({ ...rest, deliveries, random: Math.random, log });
  await Promise.all([
    repeatUntil(signal, LOOK_EVERY_MS, () => pump.pass(signal), log),
    repeatUntil(signal, FORGET_EVERY_MS, () => deliveries.removeOld(KEPT_DAYS, FORGOTTEN_AT_ONCE), log),
  ]);
  await pump.idle();
}
