/** Events from outside, as CloudEvents 1.0 over HTTP (https://github.com/cloudevents/spec) has them. */
import { z } from 'zod';
import { count, exampleOf, json, RUN, text } from './answer-shapes.ts';

export const MAX_EVENTS_PER_REQUEST = 100;
const MAX_SOURCE = 2_000;
const MAX_EXTENSIONS = 50;
const short = z.string().min(1).max(255);

/** Letters and digits in lower case, as the specification requires. */
const ATTRIBUTE = /^[a-z0-9]{1,64}$/;

export const receiveEventsQuery = z.strictObject({
  tenant_id: short.optional().meta({
    description: 'For a signed event: the tenant whose secrets verify it. Also in `X-Tenant-ID`',
    example: 'acme',
  }),
});

export const cloudEvent = z
  .object({
    specversion: z.literal('1.0', { error: "must be '1.0'" }),
    id: short.meta({ description: 'Identifies the event together with `source`: a repeated event changes nothing' }),
    source: z.string().min(1).max(MAX_SOURCE).meta({ example: '/shop/orders' }),
    type: short.meta({ example: 'order.paid' }),
    subject: short.optional(),
    time: z.iso.datetime({ offset: true }).optional(),
    datacontenttype: z
      .string()
      .regex(/^application\/(?:[\w.!#$&^-]+\+)?json(?:\s*;.*)?$/i, 'must be application/json: only JSON is taken')
      .optional(),
    dataschema: z.string().min(1).max(MAX_SOURCE).optional(),
    data: json.optional(),
  })
  .catchall(z.union([z.string().max(MAX_SOURCE), z.boolean(), z.int()]))
  .superRefine((event, context) => {
    const names = Object.keys(event);
    for (const name of names.filter((one) => !ATTRIBUTE.test(one))) {
      context.addIssue({ code: 'custom', path: [name], message: 'must be named in lower-case letters and digits' });
    }
    if (names.includes('data_base64')) {
      context.addIssue({ code: 'custom', path: ['data_base64'], message: 'is not taken: only JSON is' });
    }
    if (names.length > MAX_EXTENSIONS) {
      context.addIssue({ code: 'custom', path: [], message: `must not have more than ${MAX_EXTENSIONS} attributes` });
    }
  })
  .meta({
    id: 'CloudEvent',
    example: {
      specversion: '1.0',
      id: 'a1b2',
      source: '/shop/orders',
      type: 'order.paid',
      subject: 'order-17',
      data: { order_id: 17, amount: 120 },
    },
  });
export type CloudEventInput = z.output<typeof cloudEvent>;

export const cloudEvents = z
  .array(cloudEvent)
  .min(1)
  .max(MAX_EVENTS_PER_REQUEST)
  .meta({ example: [exampleOf(cloudEvent)] });
export const cloudEventOrBatch = z.union([cloudEvent, cloudEvents]).meta({ example: exampleOf(cloudEvent) });

const eventId = text.meta({ description: 'The `id` of the event' });
export const receivedEvents = z
  .object({
    accepted: count.meta({ description: 'Number of events that were newly stored' }),
    repeated: count.meta({
      description: 'Number of events received before; for these the response contains the original results',
    }),
    started: z.array(z.object({ event_id: eventId, workflow_id: text, execution_id: text })),
    signalled: z.array(z.object({ event_id: eventId, execution_id: text, name: text })),
    failed: z
      .array(z.object({ event_id: eventId, workflow_id: text, code: text, detail: text }))
      .meta({ description: 'Matching triggers whose workflow could not be started' }),
    pending: z.array(text).meta({ description: 'Ids of events that are still being processed after this response' }),
  })
  .meta({
    id: 'ReceivedEvents',
    example: {
      accepted: 1,
      repeated: 0,
      started: [{ event_id: 'a1b2', workflow_id: 'settle', execution_id: RUN }],
      signalled: [],
      failed: [],
      pending: [],
    },
  });
