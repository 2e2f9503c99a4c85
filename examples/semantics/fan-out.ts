/** One action for every item of a list, two at a time; the output is the list of outputs in the order of the items. */
import { isDeepStrictEqual } from 'node:util';
import { begin, type Example, executionWhen } from './example.ts';

const DEFINITION = {
  name: 'prices',
  parameters: [{ name: 'orders', type: 'array', required: true }],
  actions: [
    {
      action_id: 'price',
      action_type: 'transform',
      for_each: { items: '{{orders}}', max_parallel: 2 },
      config: { outputs: { article: 'item.article', place: 'item_index', total: 'item.price * item.count' } },
    },
    {
      action_id: 'sum',
      action_type: 'transform',
      config: {
        expression: 'price[0].total + price[1].total + price[2].total',
      },
    },
  ],
};
const ORDERS = [
  { article: 'pen', price: 1.5, count: 4 },
  { article: 'book', price: 20, count: 1 },
  { article: 'lamp', price: 30, count: 2 },
];

export const fanOut: Example = {
  name: 'fan-out',
  async run(api, say) {
    const found = await executionWhen(api, await begin(api, DEFINITION, { orders: ORDERS }));
    const [price, sum] = found.tasks;
    say(JSON.stringify(price?.output));
    say(`together ${JSON.stringify(sum?.output)}`);
    const expected = [
      { article: 'pen', place: 0, total: 6 },
      { article: 'book', place: 1, total: 20 },
      { article: 'lamp', place: 2, total: 60 },
    ];
    return isDeepStrictEqual(price?.output, expected) && sum?.output === 86;
  },
};
