/** What the use cases of webhooks, and their deliveries, need of the store. */

import type { Json } from '../../schemas/json.ts';
import type { LoggedEvent } from '../events/event-log-ports.ts';

export interface Webhook {
  id: string;
  tenantId: string;
  url: string;
  events: string[];
  description: string | null;
  active: boolean;
  disabledReason: string | null;
  failingSince: Date | null;
  createdBy: string;
  createdAt: Date;
  updatedAt: Date;
}

export type DeliveryStatus = 'pending' | 'delivered' | 'dead';
export interface WebhookDelivery {
  id: string;
  /** Null: the callback of a run. */
  webhookId: string | null;
  kind: string;
  runId: string | null;
  actionId: string | null;
  epoch: number | null;
  attempt: number | null;
  data: Json;
  at: Date;
  status: DeliveryStatus;
  attempts: number;
  dueAt: Date;
  lastStatus: number | null;
  lastError: string | null;
  endedAt: Date | null;
}

/** With what is needed to make the call; `attempts` counts this one. */
export interface DueDelivery extends WebhookDelivery {
  /** Lanes do not wait for each other: one for each webhook, and one for the callbacks of a tenant to one host. */
  lane: string;
  url: string;
  host: string;
  /** Of the webhook, the present one first. */
  secrets: string[];
  /** Why they cannot be read: then nothing is sent, for it would not be signed. */
  unsignable?: string;
  workflowId: string | null;
  correlationId: string | null;
  tenantId: string;
  traceId: string | null;
  parentSpan?: string | null;
}

export interface WebhookPage<T> {
  items: T[];
  total: number;
}

export type WebhookChange = Partial<Pick<Webhook, 'url' | 'events' | 'description' | 'active'>> & {
  /** The one before goes on signing for `previousSeconds`. */
  secret?: { value: string; previousSeconds: number };
};

export interface WebhookStore {
  /** False: the tenant has `limit` of them already. */
  create(webhook: Omit<Webhook, 'createdAt' | 'updatedAt'> & { secret: string }, limit: number): Promise<boolean>;
  find(tenantId: string, id: string): Promise<Webhook | undefined>;
  list(tenantId: string, page: number, pageSize: number): Promise<WebhookPage<Webhook>>;
  change(tenantId: string, id: string, change: WebhookChange): Promise<Webhook | undefined>;
  /** With its deliveries. */
  remove(tenantId: string, id: string): Promise<boolean>;
  deliveries(
    webhookId: string,
    filter: { status: DeliveryStatus | undefined; page: number; pageSize: number },
  ): Promise<WebhookPage<WebhookDelivery>>;
  addTest(webhook: Webhook, deliveryId: string): Promise<WebhookDelivery>;
  /** Due now, with all of its tries before it. */
  again(webhookId: string, deliveryId: string): Promise<WebhookDelivery | undefined>;
}

/** What a replay needs of webhooks. */
export interface ReplayWebhooks {
  /** Of the tenant's webhooks with this address, the present one of each first. */
  secretsOf(tenantId: string, url: string): Promise<string[]>;
  /** Deliveries of these events to the active webhooks that listen to them; once for each `replay`. */
  enqueue(tenantId: string, events: readonly LoggedEvent[], replay: string): Promise<void>;
}

/** A run that has ended. */
export interface EndOfRun {
  id: string;
  workflowId: string | null;
  workflowVersion: number | null;
  status: string;
  output: Json;
  error: Json;
  correlationId: string | null;
  createdAt: Date;
  finishedAt: Date | null;
}

/** How many calls may be under way, and how many are. */
export interface DeliveryRoom {
  perLane: number;
  perTenant: number;
  lanes: ReadonlyMap<string, number>;
  tenants: ReadonlyMap<string, number>;
}

export interface DeliveryFailure {
  status: number | null;
  error: string;
  /** The receiver says that there is nobody any more. */
  gone: boolean;
  /** The host itself did not answer: several in a row, and nothing is delivered there for a while. */
  unavailable: boolean;
}

export interface WebhookDeliveryStore {
  /**
   * Some of each lane that has room. Each is leased for `leaseMs` in the same statement: nobody else makes the call, and it
   * is made again when this one does not report its end.
   */
  takeDue(room: DeliveryRoom, leaseMs: number): Promise<DueDelivery[]>;
  /** Undefined: the run was started again, and sends its next end. */
  endOf(delivery: Pick<DueDelivery, 'runId' | 'epoch'>): Promise<EndOfRun | undefined>;
  /** Nothing else has been tried since `attempts`. */
  delivered(delivery: DueDelivery, status: number): Promise<void>;
  /** `againAfterSeconds` undefined: it is dead. Resolves to true when that was the end of the webhook. */
  failed(
    delivery: DueDelivery,
    failure: DeliveryFailure,
    againAfterSeconds: number | undefined,
    disableAfterSeconds: number,
  ): Promise<boolean>;
  /** Ended ones past their retention. A callback that is older than `callback` is given up. */
  removeOld(olderThanDays: { delivered: number; dead: number; callback: number }, limit: number): Promise<number>;
}
