import { expect, test } from 'vitest';
import { createIsPublished, withPublishedHandlers } from '../../../../src/features/flow-runner/published-handlers.ts';

const ADAPTERS = ['http_request', 'transform', 'external'];
const canonical = (type: string) => (ADAPTERS.includes(type) ? type : undefined);
const published = (...handlers: string[]) => createIsPublished({ canonical, handlers });
const task = (id: string, handler: string, more: object = {}) => ({ id, handler, inputs: { n: 1 }, ...more });

test('a task of the flow form whose handler has no adapter becomes an external one with its inputs', () => {
  const flow = {
    id: 'f',
    tasks: [task('a', 'resize', { retries: 2 }), task('b', 'transform'), { id: 'c', handler: 'mail' }],
  };
  expect(withPublishedHandlers(flow, published('*'), ADAPTERS).definition).toEqual({
    id: 'f',
    tasks: [
      { id: 'a', handler: 'external', inputs: { topic: 'resize', input: { n: 1 } }, retries: 2 },
      task('b', 'transform'),
      { id: 'c', handler: 'external', inputs: { topic: 'mail', input: {} } },
    ],
  });
});

test('only handlers that the setting names are published, and only what can be a topic', () => {
  const only = published('image.*', 'mail');
  expect(['image.resize', 'image.', 'mail'].every(only)).toBe(true);
  expect(['mail2', 'imagexresize', 'resize', 'transform', 'image.two words', ''].some(only)).toBe(false);
  expect(['a', 'a b', 'x'.repeat(256)].map(published('*'))).toEqual([true, false, false]);
  expect(published()('mail')).toBe(false);
});

test('what is no flow form or cannot be read is left to those who read it', () => {
  const isPublished = published('*');
  for (const written of [
    { actions: [{ action_id: 'a', action_type: 'resize' }] },
    { tasks: 'none' },
    { tasks: [null, 7, ['resize'], { id: 'a' }, { id: 'b', handler: 7 }] },
  ]) {
    expect(withPublishedHandlers(written, isPublished, ADAPTERS)).toEqual({ definition: written, near: [] });
  }
});

test('a published handler that may be a misspelt adapter is named with what may be meant', () => {
  const flow = { tasks: [task('a', 'htp_request'), task('b', 'htp_request'), task('c', 'resize')] };
  expect(withPublishedHandlers(flow, published('*'), ADAPTERS).near).toEqual([
    "'htp_request' (did you mean 'http_request'?)",
  ]);
});
