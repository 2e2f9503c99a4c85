/** What an API process has of it. */

import { randomBytes } from 'node:crypto';
import { createKeyring } from '../../engine/keyring.ts';
import { featureApi } from '../../feature.ts';
import { createWebhooks } from './manage-webhooks.ts';
import { webhookRoutes } from './routes.ts';
import { makeWebhookSecret } from './sign-webhook.ts';
import { createWebhookStore } from './store.ts';

export const api = featureApi([webhookRoutes], ({ config, pool, prisma, newId, links }) => ({
  webhooks: createWebhooks({
    webhooks: createWebhookStore({ pool, prisma }, createKeyring(config.secretKeys)),
    newId,
    newSecret: () => makeWebhookSecret(randomBytes),
  }),
  links,
}));
