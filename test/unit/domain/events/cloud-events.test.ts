/** The three forms of CloudEvents over HTTP. */
import { describe, expect, test } from 'vitest';
import { OrchestratorError } from '../../../../src/domain/errors.ts';
import { type EventMessage, readEvents } from '../../../../src/domain/events/cloud-events.ts';
import type { Json } from '../../../../src/schemas/json.ts';

const EVENT = { specversion: '1.0', id: '1', source: '/shop', type: 'order.paid' };
const WHOLE = { ...EVENT, subject: null, time: null, data: null };

const message = (body: Json | undefined, contentType = 'application/cloudevents+json', headers = {}): EventMessage => ({
  contentType,
  headers,
  body,
});

function faultsOf(read: EventMessage): string[] {
  try {
    readEvents(read);
  } catch (error) {
    if (error instanceof OrchestratorError) return error.errors.map(({ path }) => path);
    throw error;
  }
  return [];
}

describe('events', () => {
  test('come alone, with what was left out as null and extensions as they are', () => {
    expect(readEvents(message(EVENT))).toEqual([WHOLE]);
    const full = {
      ...EVENT,
      subject: 'order-17',
      time: '2030-01-01T12:00:00+01:00',
      datacontenttype: 'application/json; charset=utf-8',
      dataschema: 'https://example.com/order.json',
      data: [1, { a: null }],
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      sampled: true,
    };
    expect(readEvents(message(full, 'application/cloudevents+json; charset=utf-8'))).toEqual([full]);
    expect(readEvents(message(EVENT, 'application/json'))).toEqual([WHOLE]);
  });

  test('come together', () => {
    const two = [EVENT, { ...EVENT, id: '2' }];
    for (const type of ['application/cloudevents-batch+json', 'application/json']) {
      expect(readEvents(message(two, type))).toEqual([WHOLE, { ...WHOLE, id: '2' }]);
    }
  });

  test('come as headers with the data as the body', () => {
    const headers = {
      'content-type': 'application/json',
      'ce-specversion': '1.0',
      'ce-id': '1',
      'ce-source': '/shop',
      'ce-type': 'order.paid',
      'ce-subject': 'Caf%C3%A9%20%22au%20lait%22',
      'ce-region': '"north \\"1\\""',
      'x-other': 'not an attribute',
    };
    expect(readEvents(message({ amount: 3 }, 'application/json', headers))).toEqual([
      {
        ...WHOLE,
        subject: 'Café "au lait"',
        region: 'north "1"',
        datacontenttype: 'application/json',
        data: { amount: 3 },
      },
    ]);
    expect(readEvents(message(undefined, '', { ...headers, 'ce-subject': '100%' }))).toMatchObject([
      { subject: '100%', data: null },
    ]);
  });

  test.each<[string, EventMessage, string[]]>([
    ['nothing', message(undefined), ['']],
    ['another version', message({ ...EVENT, specversion: '0.3' }), ['specversion']],
    ['no attributes', message({ specversion: '1.0' }), ['id', 'source', 'type']],
    ['an empty id', message({ ...EVENT, id: '' }), ['id']],
    ['an id that is too long', message({ ...EVENT, id: 'x'.repeat(256) }), ['id']],
    ['a time that is none', message({ ...EVENT, time: 'yesterday' }), ['time']],
    ['data in another format', message({ ...EVENT, datacontenttype: 'text/xml', data: '<a/>' }), ['datacontenttype']],
    ['binary data', message({ ...EVENT, data_base64: 'AAAA' }), ['data_base64', 'data_base64']],
    ['an extension in capitals', message({ ...EVENT, traceParent: 'x' }), ['traceParent']],
    ['an extension that is an object', message({ ...EVENT, extra: {} }), ['extra']],
    ['an empty batch', message([], 'application/cloudevents-batch+json'), ['']],
    ['one of several', message([EVENT, { ...EVENT, type: '' }], 'application/cloudevents-batch+json'), ['1.type']],
    ['a header', message(undefined, '', { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/s' }), ['ce-type']],
  ])('are rejected for %s, by name', (_, read, paths) => {
    expect(faultsOf(read)).toEqual(paths);
  });
});
