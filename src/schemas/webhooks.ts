/** What the HTTP door takes and answers about webhooks. */
import { z } from 'zod';
import { count, paging, RUN, text, time, WHEN } from './answer-shapes.ts';

const WEBHOOK = '0197c2a1-7f10-7b21-8c44-3d5e6f708193';
const DELIVERY = '5d0f6b0e-8f60-4d3b-9a63-1f1f0c8f2a11';
const EVENT = /^(?:\*|(?:run|task|approval|signal)\.(?:\*|[a-z][a-z_]*))$/;
const MAX_EVENTS = 50;

const fields = {
  url: z
    .url({ protocol: /^https?$/ })
    .max(2_000)
    .refine((url) => !URL.canParse(url) || (new URL(url).username === '' && new URL(url).password === ''), {
      error: 'must not hold a user or a password',
    })
    .meta({ description: 'Called with POST; the outbound policy holds for it', example: 'https://example.com/hooks' }),
  events: z
    .array(z.string().max(100).regex(EVENT, "must be like 'run.completed', 'task.*' or '*'"))
    .min(1)
    .max(MAX_EVENTS)
    .meta({
      description:
        'Names of events as in the events of an execution; `run.*`, `task.*`, `approval.*`, `signal.*` and `*` stand for all of them',
      example: ['run.completed', 'run.failed'],
    }),
  secret: z
    .string()
    .min(24)
    .max(255)
    .regex(/^(?!enc:v1:)/, "must not begin with 'enc:v1:'")
    .optional()
    .meta({
      description:
        'Signs the calls; `whsec_` and base64, or any text. Made when left out. After a change the one before signs too for a day',
    }),
  active: z.boolean().optional(),
  description: z.string().max(1_000).nullable().optional(),
};

export const webhookRequest = z
  .strictObject(fields)
  .meta({ id: 'WebhookRequest', example: { url: 'https://example.com/hooks', events: ['run.*'] } });
export const webhookUpdate = z
  .strictObject({ ...fields, url: fields.url.optional(), events: fields.events.optional() })
  .meta({ id: 'WebhookUpdate', example: { active: true } });

const whole = (min: number, max: number) => z.coerce.number<string>().int().min(min).max(max);
const pageAsked = {
  page: whole(1, 1_000_000).default(1).meta({ example: 1 }),
  page_size: whole(1, 200).default(50).meta({ example: 50 }),
};
export const webhookListQuery = z.object(pageAsked);
const deliveryStatus = z.enum(['pending', 'delivered', 'dead']);
export const deliveryListQuery = z.object({ ...pageAsked, status: deliveryStatus.optional() });

const shown = {
  webhook_id: text,
  url: text,
  events: z.array(text),
  description: text.nullable(),
  active: z.boolean(),
  disabled_reason: text.nullable().meta({ description: 'Why it is not active any more, when nobody said so by hand' }),
  failing_since: time.nullable().meta({ description: 'Nothing has been delivered since' }),
  created_by: text,
  created_at: time,
  updated_at: time,
};
const example = {
  webhook_id: WEBHOOK,
  url: 'https://example.com/hooks',
  events: ['run.*'],
  description: null,
  active: true,
  disabled_reason: null,
  failing_since: null,
  created_by: 'anonymous',
  created_at: WHEN,
  updated_at: WHEN,
};
export const webhook = z.object(shown).meta({ id: 'Webhook', example });
export const createdWebhook = z.object({ ...shown, secret: text.meta({ description: 'Shown this once' }) }).meta({
  id: 'CreatedWebhook',
  example: { ...example, secret: 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDC2FVsBQIhrs=' },
});

export const webhookList = z.object({ items: z.array(webhook), ...paging }).meta({ id: 'WebhookList' });

export const webhookDelivery = z
  .object({
    delivery_id: text.meta({ description: 'The `webhook-id` of every try' }),
    event: text,
    execution_id: text.nullable(),
    action_id: text.nullable(),
    status: deliveryStatus,
    attempts: count,
    next_attempt_at: time.nullable(),
    last_status: z.int().nullable(),
    last_error: text.nullable(),
    at: time,
    ended_at: time.nullable(),
  })
  .meta({
    id: 'WebhookDelivery',
    example: {
      delivery_id: DELIVERY,
      event: 'run.completed',
      execution_id: RUN,
      action_id: null,
      status: 'delivered',
      attempts: 1,
      next_attempt_at: null,
      last_status: 200,
      last_error: null,
      at: WHEN,
      ended_at: WHEN,
    },
  });
export const webhookDeliveryList = z
  .object({ items: z.array(webhookDelivery), ...paging })
  .meta({ id: 'WebhookDeliveryList' });

export type WebhookAnswer = z.infer<typeof webhook>;
export type WebhookDeliveryAnswer = z.infer<typeof webhookDelivery>;
