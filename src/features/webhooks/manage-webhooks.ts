/** Webhooks of a tenant: the addresses for events, and what became of each delivery. */
import { OrchestratorError } from '../../domain/errors.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import type { DeliveryStatus, Webhook, WebhookChange, WebhookDelivery, WebhookPage, WebhookStore } from './ports.ts';

export interface WebhookFields {
  url: string;
  events: string[];
  secret?: string | undefined;
  active?: boolean | undefined;
  description?: string | null | undefined;
}

export type WebhookPatch = { [K in keyof WebhookFields]?: WebhookFields[K] | undefined };

export interface Webhooks {
  /** `secret`: shown once. */
  create(caller: Caller, fields: WebhookFields): Promise<{ webhook: Webhook; secret: string }>;
  list(caller: Caller, page: number, pageSize: number): Promise<WebhookPage<Webhook>>;
  get(caller: Caller, id: string): Promise<Webhook>;
  update(caller: Caller, id: string, fields: WebhookPatch): Promise<Webhook>;
  remove(caller: Caller, id: string): Promise<void>;
  test(caller: Caller, id: string): Promise<WebhookDelivery>;
  deliveries(
    caller: Caller,
    id: string,
    filter: { status: DeliveryStatus | undefined; page: number; pageSize: number },
  ): Promise<WebhookPage<WebhookDelivery>>;
  retry(caller: Caller, id: string, deliveryId: string): Promise<WebhookDelivery>;
}

const MAX_PER_TENANT = 50;
const PREVIOUS_SECRET_SECONDS = 86_400;

export function createWebhooks(deps: { webhooks: WebhookStore; newId(): string; newSecret(): string }): Webhooks {
  const { webhooks } = deps;

  async function find(caller: Caller, id: string): Promise<Webhook> {
    const found = await webhooks.find(caller.tenantId, id);
    if (found === undefined) throw new OrchestratorError('not_found', 'Webhook not found');
    return found;
  }

  async function findActive(caller: Caller, id: string): Promise<Webhook> {
    const webhook = await find(caller, id);
    if (!webhook.active)
      throw new OrchestratorError('conflict', 'The webhook is not active: nothing is delivered to it');
    return webhook;
  }

  return {
    async create(caller, { url, events, secret = deps.newSecret(), active = true, description = null }) {
      const id = deps.newId();
      const fresh = { id, tenantId: caller.tenantId, url, events, description, active, secret };
      const more = { disabledReason: null, failingSince: null, createdBy: caller.userId };
      if (!(await webhooks.create({ ...fresh, ...more }, MAX_PER_TENANT))) {
        throw new OrchestratorError(
          'conflict',
          `There are ${MAX_PER_TENANT} webhooks already, which is all there may be`,
        );
      }
      return { webhook: await find(caller, id), secret };
    },
    list: (caller, page, pageSize) => webhooks.list(caller.tenantId, page, pageSize),
    get: find,
    async update(caller, id, { secret, active, description, url, events }) {
      const change: WebhookChange = {
        ...(url === undefined ? {} : { url }),
        ...(events === undefined ? {} : { events }),
        ...(description === undefined ? {} : { description }),
        ...(active === undefined ? {} : { active }),
        ...(secret === undefined ? {} : { secret: { value: secret, previousSeconds: PREVIOUS_SECRET_SECONDS } }),
      };
      const changed = await webhooks.change(caller.tenantId, id, change);
      if (changed === undefined) throw new OrchestratorError('not_found', 'Webhook not found');
      return changed;
    },
    async remove(caller, id) {
      if (!(await webhooks.remove(caller.tenantId, id))) throw new OrchestratorError('not_found', 'Webhook not found');
    },
    async test(caller, id) {
      return webhooks.addTest(await findActive(caller, id), deps.newId());
    },
    async deliveries(caller, id, filter) {
      return webhooks.deliveries((await find(caller, id)).id, filter);
    },
    async retry(caller, id, deliveryId) {
      const again = await webhooks.again((await findActive(caller, id)).id, deliveryId);
      if (again === undefined) throw new OrchestratorError('not_found', 'Delivery not found');
      return again;
    },
  };
}
