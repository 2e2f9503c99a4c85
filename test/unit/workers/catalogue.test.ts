import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { shippedCatalogue } from '../../../src/compose/features.ts';
import type { Json } from '../../../src/schemas/json.ts';
import { defineAdapter } from '../../../workers/adapter.ts';
import { createCatalogue } from '../../../workers/catalogue.ts';
import { checks } from '../../support/checks.ts';

const catalogue = shippedCatalogue();

test('the adapters that ship are listed with the schemas of their config and output', () => {
  expect(catalogue.names()).toEqual([
    'approval',
    'approve_batches',
    'external',
    'find_service',
    'http_request',
    'kubernetes_job',
    'list_services',
    'notification',
    'poll_openapi',
    'replay_events',
    'run_report',
    'service_call',
    'session_step',
    'signal',
    'store_document',
    'test_task',
    'transform',
    'wait',
    'workflow',
  ]);
  for (const listed of catalogue.list()) {
    expect(listed.description).not.toBe('');
    expect(listed.config_schema).toMatchObject({ type: 'object', properties: expect.any(Object) });
    expect(JSON.stringify(listed)).not.toContain('$ref');
  }
  const batches = catalogue.list().find(({ action_type: type }) => type === 'approve_batches');
  expect(batches?.config_schema).toMatchObject({
    required: ['batch_ids'],
    properties: { auto_approve: { default: true } },
  });
});

test('older names lead to the type', () => {
  expect(catalogue.canonical('external_api_call')).toBe('http_request');
  expect(catalogue.canonical('transform_data')).toBe('transform');
  expect(catalogue.canonical('wait')).toBe('wait');
  for (const unknown of ['nothing', '__proto__', 'constructor']) expect(catalogue.canonical(unknown)).toBeUndefined();
  expect(catalogue.get('wait')?.type).toBe('wait');
  expect(catalogue.literalFields('transform')).toEqual(['expression', 'outputs']);
  expect(catalogue.literalFields('wait')).toEqual([]);
});

test('two adapters of one name are rejected', () => {
  const made = (type: string, aliases: string[] = []) =>
    defineAdapter({
      type,
      aliases,
      description: 'x',
      config: z.strictObject({}),
      output: z.object({}),
      run: () => Promise.resolve({}),
    });
  expect(() => createCatalogue([made('a'), made('b', ['a'])])).toThrow(/two adapters are called a/);
});

describe('check', () => {
  const faults = (type: string, config: Json) => catalogue.check(type, config, checks);
  const paths = (type: string, config: Json): string[] => faults(type, config).map(({ path }) => path);

  test('names every fault with its path', () => {
    expect(faults('http_request', { url: 'ftp://x', methd: 'GET', headers: { a: [] } })).toEqual(
      expect.arrayContaining([
        { path: 'url', message: expect.any(String) },
        { path: 'methd', message: "unknown field 'methd' (did you mean 'method'?)" },
        { path: 'headers.a', message: expect.any(String) },
      ]),
    );
    expect(faults('approve_batches', {})).toEqual([{ path: 'batch_ids', message: 'is required' }]);
    expect(paths('service_call', {})).toEqual(['service']);
    expect(paths('wait', { seconds: 1, until: '2030-01-01T00:00:00Z' })).toEqual(['seconds']);
  });

  test('a value that contains a template is left to the run, everything around it is not', () => {
    expect(faults('approve_batches', { batch_ids: '{{ids}}' })).toEqual([]);
    expect(faults('approve_batches', { batch_ids: [1, '{{id}}'], auto_approve: '{{yes}}' })).toEqual([]);
    expect(faults('http_request', { url: '{{base}}/items', method: '{{method}}', json: { a: '{{b}}' } })).toEqual([]);
    expect(faults('http_request', '{{whole}}')).toEqual([]);
    expect(paths('http_request', { url: '{{base}}/x', method: 'FETCH', nope: '{{x}}' }).sort()).toEqual([
      'method',
      'nope',
    ]);
    expect(paths('service_call', { headers: { a: '{{b}}' } })).toEqual(['service']);
    expect(paths('notification', { channels: ['{{c}}', 'pigeon'] })).toEqual(['message', 'channels.1']);
  });

  test('an expression is checked before a run starts', () => {
    expect(faults('transform', { expression: 'fetch.items.map(i, i.n)' })).toEqual([]);
    expect(paths('transform', { expression: 'a ===' })).toEqual(['expression']);
    expect(paths('transform', { outputs: { good: '1', bad: '(' } })).toEqual(['outputs.bad']);
    expect(paths('service_call', { service: 's', expect: { when: 'response.ok ==' } })).toEqual(['expect.when']);
    expect(paths('service_call', { service: 's', expect: { when: '{{params.rule}}' } })).toEqual([]);
  });

  test('an unknown type has a fault', () => {
    expect(faults('nothing', {})).toHaveLength(1);
  });
});
