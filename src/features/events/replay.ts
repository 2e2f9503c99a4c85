/** The targets of a replay. */
import { z } from 'zod';
import { id } from '../../schemas/ids.ts';

export const replayTarget = z.union([
  z.strictObject({
    webhook_url: z
      .url({ protocol: /^https?$/ })
      .max(2_000)
      .meta({ description: 'Each event is posted to this URL, signed like a webhook; subject to the outbound policy' }),
  }),
  z.strictObject({
    stream: id.meta({
      description: 'A Redis stream: EVENTS_STREAM, or EVENTS_STREAM followed by `:` and a name of your own',
    }),
  }),
  z.strictObject({
    workflow_id: id.meta({ description: 'A workflow that is started for each event, with the parameter `event`' }),
  }),
  z.strictObject({
    webhooks: z.literal(true).meta({ description: 'The webhooks of the tenant that are subscribed to these events' }),
  }),
]);
export type ReplayTarget = z.output<typeof replayTarget>;
