/** Webhooks: the addresses for a tenant's events, and what became of each delivery. */

import type { Links } from '../../http/server/links.ts';
import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { pageOf } from '../../http/server/paging.ts';
import { emptyBody } from '../../schemas/requests.ts';
import type { Webhooks } from './manage-webhooks.ts';
import type { Webhook, WebhookDelivery } from './ports.ts';
import * as schemas from './schemas.ts';

const tag = 'Webhooks';
const notFound = 'Webhook not found';

export const createWebhook = operation({
  id: 'createWebhook',
  permission: 'webhooks:write',
  tag,
  method: 'post',
  path: '/webhooks',
  summary: 'Create a webhook',
  description:
    'A webhook receives the events of all executions. Deliveries are signed as in Standard Webhooks (`webhook-id`, `webhook-timestamp`, `webhook-signature`). Each event is delivered at least once; all attempts have the same `webhook-id`. A failed delivery is retried for about three days, and is dead after that.',
  body: schemas.webhookRequest,
  answers: {
    201: {
      description: 'Created',
      schema: schemas.createdWebhook,
      headers: { Location: 'URL of the created resource' },
    },
  },
  problems: ['conflict'],
});

export const listWebhooks = operation({
  id: 'listWebhooks',
  permission: 'webhooks:read',
  tag,
  method: 'get',
  path: '/webhooks',
  summary: 'List webhooks',
  description: 'The newest webhooks come first.',
  query: schemas.webhookListQuery,
  answers: { 200: { description: 'One page of results', schema: schemas.webhookList } },
});

export const getWebhook = operation({
  id: 'getWebhook',
  permission: 'webhooks:read',
  tag,
  method: 'get',
  path: '/webhooks/{webhook_id}',
  summary: 'Get a webhook',
  notFound,
  answers: { 200: { description: 'The webhook', schema: schemas.webhook } },
});

export const updateWebhook = operation({
  id: 'updateWebhook',
  permission: 'webhooks:write',
  tag,
  method: 'put',
  path: '/webhooks/{webhook_id}',
  summary: 'Update a webhook',
  description:
    'Accepts any subset of the fields. While a webhook is inactive, no new deliveries are recorded for it; pending deliveries are sent once it is active again.',
  body: schemas.webhookUpdate,
  notFound,
  answers: { 200: { description: 'Updated', schema: schemas.webhook } },
});

export const deleteWebhook = operation({
  id: 'deleteWebhook',
  permission: 'webhooks:write',
  tag,
  method: 'delete',
  path: '/webhooks/{webhook_id}',
  summary: 'Delete a webhook',
  description: 'Its pending deliveries are deleted too.',
  notFound,
  answers: { 204: { description: 'Deleted' } },
});

export const testWebhook = operation({
  id: 'testWebhook',
  permission: 'webhooks:control',
  tag,
  method: 'post',
  path: '/webhooks/{webhook_id}/test',
  summary: 'Send a test event to a webhook',
  description: 'The type of the event is `webhook.test`.',
  body: emptyBody,
  bodyOptional: true,
  notFound,
  answers: { 202: { description: 'The delivery was scheduled', schema: schemas.webhookDelivery } },
  problems: ['conflict'],
});

export const listWebhookDeliveries = operation({
  id: 'listWebhookDeliveries',
  permission: 'webhooks:read',
  tag,
  method: 'get',
  path: '/webhooks/{webhook_id}/deliveries',
  summary: 'List the deliveries of a webhook',
  description: 'Shows the state of each delivery, newest first.',
  query: schemas.deliveryListQuery,
  notFound,
  answers: { 200: { description: 'One page of results', schema: schemas.webhookDeliveryList } },
});

export const retryWebhookDelivery = operation({
  id: 'retryWebhookDelivery',
  permission: 'webhooks:control',
  tag,
  method: 'post',
  path: '/webhooks/{webhook_id}/deliveries/{delivery_id}/retry',
  summary: 'Retry a webhook delivery',
  description: 'The event is delivered again, with the same id and the full number of attempts.',
  body: emptyBody,
  bodyOptional: true,
  notFound: 'Delivery not found',
  answers: { 202: { description: 'The delivery was scheduled', schema: schemas.webhookDelivery } },
  problems: ['conflict'],
});

interface Needs {
  webhooks: Webhooks;
  links: Links;
}

export const webhookRoutes = endpoints(
  [
    createWebhook,
    listWebhooks,
    getWebhook,
    updateWebhook,
    deleteWebhook,
    testWebhook,
    listWebhookDeliveries,
    retryWebhookDelivery,
  ],
  serve,
);

function serve(routes: Routes, { webhooks, links }: Needs): void {
  routes.serve(createWebhook, async ({ body, caller, response }) => {
    const { webhook, secret } = await webhooks.create(caller, body);
    response.setHeader('Location', links.at(`/webhooks/${webhook.id}`));
    sendJson(response, 201, { ...present(webhook), secret });
  });

  routes.serve(listWebhooks, async ({ query: { page, page_size: pageSize }, caller, response }) => {
    const { items, total } = await webhooks.list(caller, page, pageSize);
    sendJson(response, 200, { items: items.map(present), ...pageOf(page, pageSize, total) });
  });

  routes.serve(getWebhook, async ({ params, caller, response }) => {
    sendJson(response, 200, present(await webhooks.get(caller, idOf(params))));
  });

  routes.serve(updateWebhook, async ({ params, body, caller, response }) => {
    sendJson(response, 200, present(await webhooks.update(caller, idOf(params), body)));
  });

  routes.serve(deleteWebhook, async ({ params, caller, response }) => {
    await webhooks.remove(caller, idOf(params));
    response.status(204).end();
  });

  routes.serve(testWebhook, async ({ params, caller, response }) => {
    sendJson(response, 202, presentDelivery(await webhooks.test(caller, idOf(params))));
  });

  routes.serve(listWebhookDeliveries, async ({ params, query, caller, response }) => {
    const { page, page_size: pageSize, status } = query;
    const { items, total } = await webhooks.deliveries(caller, idOf(params), { status, page, pageSize });
    sendJson(response, 200, { items: items.map(presentDelivery), ...pageOf(page, pageSize, total) });
  });

  routes.serve(retryWebhookDelivery, async ({ params, caller, response }) => {
    const again = await webhooks.retry(caller, idOf(params), params['delivery_id'] ?? '');
    sendJson(response, 202, presentDelivery(again));
  });
}

function idOf(params: Record<string, string>): string {
  return params['webhook_id'] ?? '';
}

function present(webhook: Webhook): schemas.WebhookAnswer {
  return {
    webhook_id: webhook.id,
    url: webhook.url,
    events: webhook.events,
    description: webhook.description,
    active: webhook.active,
    disabled_reason: webhook.disabledReason,
    failing_since: webhook.failingSince?.toISOString() ?? null,
    created_by: webhook.createdBy,
    created_at: webhook.createdAt.toISOString(),
    updated_at: webhook.updatedAt.toISOString(),
  };
}

function presentDelivery(delivery: WebhookDelivery): schemas.WebhookDeliveryAnswer {
  return {
    delivery_id: delivery.id,
    event: delivery.kind,
    execution_id: delivery.runId,
    action_id: delivery.actionId,
    status: delivery.status,
    attempts: delivery.attempts,
    next_attempt_at: delivery.status === 'pending' ? delivery.dueAt.toISOString() : null,
    last_status: delivery.lastStatus,
    last_error: delivery.lastError,
    at: delivery.at.toISOString(),
    ended_at: delivery.endedAt?.toISOString() ?? null,
  };
}
