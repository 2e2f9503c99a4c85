/** Definitions in code: the JSON they give, and what does not compile (`tsc` checks the expected errors of this file). */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { cel, createClient, defineWorkflow } from '../../../sdk/src/index.ts';
import { shippedCatalogue } from '../../../src/compose/features.ts';
import { projectRoot } from '../../../src/project-root.ts';
import { exampleApproval, exampleQuality, exampleSaga } from '../../support/sdk-definitions.ts';

test.each([
  ['templates/saga_order.json', exampleSaga],
  ['templates/approval.json', exampleApproval],
  ['examples/ecosystem/workflows/document-quality.json', exampleQuality],
])('defineWorkflow gives the committed JSON of %s', async (file, definition) => {
  const committed: unknown = JSON.parse(await readFile(path.join(projectRoot(), file), 'utf8'));
  expect(definition).toEqual(committed);
});

test('references become templates, wherever they stand', () => {
  const definition = defineWorkflow(
    { name: 'orders', parameters: { id: { type: 'string' }, rows: { type: 'array' }, run: { type: 'object' } } },
    ({ params, action, item, run }) => {
      const order = action('order', 'external', { config: { topic: 'orders', input: { id: params.id } } }).as<{
        amount: number;
        'a key': string;
        lines: Array<{ sku: string }>;
      }>();
      const each = action('each', 'http_request', {
        for_each: { items: params.rows },
        config: {
          url: `https://example.com/${item.id}`,
          json: { first: params.rows[0], run: run.id, whole: params.run },
        },
      });
      const sum = action('sum', 'transform', {
        when: cel`${order.output.amount} > ${3} && ${order.output.lines[0]?.sku} != ${'x'}`,
        config: { outputs: { total: 'order.amount + 1' } },
      });
      return {
        amount: order.output.amount,
        key: order.output['a key'],
        status: each.output[0]?.status,
        total: sum.output.total,
      };
    },
  );
  expect(definition).toMatchObject({
    actions: [
      { config: { input: { id: '{{id}}' } } },
      {
        for_each: { items: '{{rows}}' },
        config: {
          url: 'https://example.com/{{item.id}}',
          json: { first: '{{params.rows.0}}', run: '{{run.id}}', whole: '{{params.run}}' },
        },
      },
      { when: 'order.amount > 3 && order.lines[0].sku != "x"' },
    ],
    output: {
      amount: '{{order.amount}}',
      key: '{{order["a key"]}}',
      status: '{{each.0.status}}',
      total: '{{sum.total}}',
    },
  });
});

test('what does not exist does not compile', () => {
  defineWorkflow({ name: 'typed', parameters: { id: { type: 'string' } } }, ({ params, action }) => {
    const ask = action('ask', 'approval', { config: { message: params.id } });
    const sum = action('sum', 'transform', { config: { outputs: { total: '1' } } });
    // @ts-expect-error an approval has no output of that name
    action('a', 'notification', { config: { message: ask.output.approvedd } });
    // @ts-expect-error nor has the transformation
    action('b', 'notification', { config: { message: sum.output.totall } });
    // @ts-expect-error no parameter is called so
    action('c', 'notification', { config: { message: params.idd } });
    // @ts-expect-error seconds are a number
    action('d', 'wait', { config: { seconds: 'soon' } });
    // @ts-expect-error a boolean is no number of seconds
    action('e', 'wait', { config: { seconds: ask.output.approved } });
    // @ts-expect-error there is no such action type
    expect(() => action('a', 'nothing')).toThrow("two actions are called 'a'");
    // @ts-expect-error the configuration has no such field
    action('f', 'wait', { config: { secondz: 1 } });
  });
  const { workflows } = createClient({ url: 'http://127.0.0.1:1', maxAttempts: 1, outageMs: 0 });
  const typed = defineWorkflow({ name: 'typed', parameters: { n: { type: 'integer' } } }, () => undefined);
  const calls = [
    () => workflows.run(typed, { n: 1 }),
    // @ts-expect-error it is a number
    () => workflows.run(typed, { n: 'one' }),
    // @ts-expect-error it is required
    () => workflows.run(typed, {}),
  ];
  expect(calls).toHaveLength(3);
});

test('every action type that is shipped can be used', () => {
  const types = shippedCatalogue().names();
  const made = defineWorkflow({ name: 'all' }, ({ action }) => {
    for (const type of types) action(type, type as 'wait');
  });
  expect(made.actions.map(({ action_type: type }) => type)).toEqual(types);
});
