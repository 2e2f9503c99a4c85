/** An order that is placed starts a workflow, which waits until the payment of that order comes; both come as events. */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { created, type Example, executionWhen } from './example.ts';

const received = z.looseObject({
  accepted: z.number(),
  repeated: z.number(),
  started: z.array(z.looseObject({ execution_id: z.string() })),
  signalled: z.array(z.looseObject({ execution_id: z.string() })),
});

export const triggers: Example = {
  name: 'triggers',
  async run(api, say) {
    // Another run of this example is another shop.
    const shop = `/shops/${randomUUID()}`;
    await api.post(
      '/workflows',
      {
        name: 'order',
        triggers: [
          {
            event: 'order.placed',
            source: shop,
            filter: 'event.data.amount >= 100',
            parameters: { order: '{{event.subject}}', amount: '{{event.data.amount}}' },
          },
        ],
        actions: [
          {
            action_id: 'paid',
            action_type: 'signal',
            config: { name: 'paid', event: 'payment.*', correlation_key: '{{params.order}}' },
          },
          { action_id: 'ship', action_type: 'test_task', config: { paid_by: '{{paid.by}}' } },
        ],
      },
      created,
    );
    const send = (type: string, subject: string, data: object, id = randomUUID()) =>
      api.post('/events', { specversion: '1.0', id, source: shop, type, subject, data }, received);
    const order = `order-${randomUUID()}`;
    const small = await send('order.placed', `order-${randomUUID()}`, { amount: 5 });
    say(`a small order starts ${small.started.length} executions`);
    const id = randomUUID();
    const placed = await send('order.placed', order, { amount: 120 }, id);
    const again = await send('order.placed', order, { amount: 120 }, id);
    const [run] = placed.started;
    say(
      `a large one starts ${placed.started.length}; sent again, it is ${again.repeated === 1 ? 'the same' : 'another'}`,
    );
    // It may come before anything waits for it.
    const other = await send('payment.received', `order-${randomUUID()}`, { by: 'nobody' });
    await send('payment.received', order, { by: 'anna' });
    const found = await executionWhen(api, run?.execution_id ?? '');
    const ship = found.tasks.find(({ action_id }) => action_id === 'ship');
    say(`its payment has come: ${found.status}, ${JSON.stringify(ship?.output)}`);
    return (
      small.started.length === 0 &&
      placed.started.length === 1 &&
      again.accepted === 0 &&
      other.signalled.length === 0 &&
      found.status === 'completed' &&
      JSON.stringify(ship?.output) === JSON.stringify({ paid_by: 'anna' })
    );
  },
};
