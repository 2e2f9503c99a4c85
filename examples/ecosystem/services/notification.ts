/** notification: takes messages for people and keeps them. */
import { z } from 'zod';
import { route, type ServiceDefinition } from '../route.ts';

const message = z.object({
  channel: z
    .string()
    .default('log')
    .meta({ examples: ['log', 'webhook', 'email'] }),
  target: z.string().default('').meta({ description: 'Whom or what it is for' }),
  title: z.string().default(''),
  message: z.string(),
  metadata: z.record(z.string(), z.unknown()).default({}),
});
const kept = message.extend({ notification_id: z.string() });
type Kept = z.output<typeof kept>;

const MOST_KEPT = 1_000;

export const notification: ServiceDefinition = {
  name: 'notification',
  port: 5095,
  description: 'Takes messages for people and keeps them.',
  open() {
    let count = 0;
    // By the key of the task that sent it: one that is tried again sends no second message.
    const sent = new Map<string, Kept>();
    return {
      routes: [
        route(
          'post',
          '/notify',
          {
            summary: 'Takes a message.',
            input: message,
            answer: z.object({ status: z.literal('sent'), notification_id: z.string() }),
          },
          ({ input, idempotencyKey }) => {
            count += 1;
            const key = idempotencyKey ?? `call-${count}`;
            const message = sent.get(key) ?? { notification_id: `notification-${count}`, ...input };
            sent.set(key, message);
            if (sent.size > MOST_KEPT) sent.delete(sent.keys().next().value ?? '');
            return { status: 'sent' as const, notification_id: message.notification_id };
          },
        ),
        route(
          'get',
          '/notifications',
          {
            summary: 'What came, oldest first.',
            input: z.object({}),
            answer: z.object({ items: z.array(kept), total: z.int() }),
          },
          () => ({ items: [...sent.values()], total: sent.size }),
        ),
      ],
    };
  },
};
