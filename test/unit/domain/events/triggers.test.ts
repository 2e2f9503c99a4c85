/** Which events start a workflow, and what a definition may say of it. */
import { describe, expect, test } from 'vitest';
import { shippedCatalogue } from '../../../../src/compose/features.ts';
import { normaliseDefinition } from '../../../../src/domain/definition/normalise.ts';
import { OrchestratorError } from '../../../../src/domain/errors.ts';
import type { IncomingEvent } from '../../../../src/domain/events/cloud-events.ts';
import { correlationFor, matches, parametersFor, patternsFor } from '../../../../src/domain/events/triggers.ts';
import { checks } from '../../../support/checks.ts';

const rules = { ...shippedCatalogue(), checks };
const EVENT: IncomingEvent = {
  id: '1',
  source: '/shop',
  type: 'order.paid',
  subject: 'order-17',
  time: null,
  data: { order_id: 17, items: ['a', 'b'] },
};

function faultsOf(triggers: unknown[], actions: object[] = [{ action_id: 'a', action_type: 'test_task' }]): object[] {
  try {
    normaliseDefinition({ name: 'w', actions, triggers }, rules);
  } catch (error) {
    if (error instanceof OrchestratorError) return error.errors.map(({ path }) => ({ code: error.code, path }));
    throw error;
  }
  return [];
}

describe('patterns', () => {
  test.each([
    ['order.paid', 'order.paid', true],
    ['order.paid', 'order.paid.late', false],
    ['order.*', 'order.paid', true],
    ['order.*', 'order.', true],
    ['order.*', 'orders.paid', false],
    ['*', 'anything', true],
  ])('%s and the type %s: %s', (pattern, type, match) => {
    expect(matches(pattern, type)).toBe(match);
    expect(patternsFor(type).includes(pattern)).toBe(match);
  });
});

describe('what a trigger makes of an event', () => {
  test('are the parameters, whose templates keep the type, or the event itself', () => {
    const parameters = {
      id: '{{event.data.order_id}}',
      text: 'order {{event.subject}}',
      all: ['{{event.data.items}}'],
      n: 1,
    };
    expect(parametersFor({ event: '*', parameters }, EVENT)).toEqual({
      id: 17,
      text: 'order order-17',
      all: [['a', 'b']],
      n: 1,
    });
    expect(parametersFor({ event: '*' }, EVENT)).toEqual({ event: EVENT });
    expect(() => parametersFor({ event: '*', parameters: { id: '{{event.data.customer}}' } }, EVENT)).toThrow(
      /has no 'data.customer'/,
    );
  });

  test('is the correlation id, if its key says something', () => {
    expect(correlationFor({ event: '*', correlation_key: '{{event.subject}}' }, EVENT)).toBe('order-17');
    expect(correlationFor({ event: '*', correlation_key: '{{event.time}}' }, EVENT)).toBeUndefined();
    expect(correlationFor({ event: '*' }, EVENT)).toBeUndefined();
  });
});

describe('a definition', () => {
  test('keeps its triggers, without what was left out', () => {
    const trigger = { event: 'order.*', filter: 'event.data.amount > 100', parameters: { id: '{{event.id}}' } };
    const actions = [{ action_id: 'a', action_type: 'test_task' }];
    const { definition } = normaliseDefinition({ name: 'w', actions, triggers: [{ ...trigger, source: null }] }, rules);
    expect(definition.triggers).toEqual([trigger]);
    expect(normaliseDefinition({ name: 'w', actions, triggers: [] }, rules).definition).not.toHaveProperty('triggers');
  });

  test.each<[string, unknown, string, string]>([
    [
      'a filter that is no CEL',
      { event: 'a', filter: 'event.data.amount >' },
      'definition_invalid',
      'triggers.0.filter',
    ],
    ['a filter over a run', { event: 'a', filter: 'run.id == "x"' }, 'definition_invalid', 'triggers.0.filter'],
    [
      'a template of a run',
      { event: 'a', parameters: { b: { c: '{{run.id}}' } } },
      'definition_invalid',
      'triggers.0.parameters',
    ],
    [
      'a secret',
      { event: 'a', correlation_key: '{{secrets.KEY}}' },
      'definition_invalid',
      'triggers.0.correlation_key',
    ],
    [
      'an unknown name',
      { event: 'a', parameters: { b: '{{order.id}}' } },
      'definition_invalid',
      'triggers.0.parameters.b',
    ],
    ['a star in the middle', { event: 'a.*.b' }, 'invalid_request', 'triggers.0.event'],
    ['no event', { filter: 'true' }, 'invalid_request', 'triggers.0.event'],
    ['an unknown field', { event: 'a', when: 'true' }, 'invalid_request', 'triggers.0.when'],
  ])('is refused for %s', (_, trigger, code, path) => {
    expect(faultsOf([trigger])).toContainEqual({ code, path });
  });

  const waiting = (id: string, config: object, more: object = {}) => ({
    action_id: id,
    action_type: 'signal',
    config: { name: 'paid', ...config },
    ...more,
  });
  const BY_EVENT = { event: 'order.paid', correlation_key: '{{params.order}}' };
  test.each<[string, object[], string]>([
    ['an event without a key', [waiting('a', { event: 'order.paid' })], 'actions.0.config.correlation_key'],
    ['a template for the event', [waiting('a', { ...BY_EVENT, event: '{{params.type}}' })], 'actions.0.config.event'],
    [
      'a fan-out that waits for events',
      [waiting('a', BY_EVENT, { for_each: { items: [1, 2] } })],
      'actions.0.config.event',
    ],
    ['two waits of one name', [waiting('a', BY_EVENT), waiting('b', {})], 'actions.1.config.name'],
    ['two waits of one name, the other way round', [waiting('a', {}), waiting('b', BY_EVENT)], 'actions.1.config.name'],
  ])('is refused for %s', (_, actions, path) => {
    expect(faultsOf([], actions)).toContainEqual({ code: 'definition_invalid', path });
  });
});
