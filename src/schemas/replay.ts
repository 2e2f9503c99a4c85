/** Where events are told once more. */
import { z } from 'zod';

const id = z.string().min(1).max(255);

export const replayTarget = z.union([
  z.strictObject({
    webhook_url: z
      .url({ protocol: /^https?$/ })
      .max(2_000)
      .meta({ description: 'Each event is posted there, signed as webhooks are; the outbound policy holds' }),
  }),
  z.strictObject({
    stream: id.meta({ description: 'A Redis stream: EVENTS_STREAM, or that with `:` and a name of your own' }),
  }),
  z.strictObject({
    workflow_id: id.meta({ description: 'Started for each event, with the parameter `event`' }),
  }),
  z.strictObject({
    webhooks: z.literal(true).meta({ description: 'The webhooks of the tenant that listen to these events' }),
  }),
]);
export type ReplayTarget = z.output<typeof replayTarget>;
