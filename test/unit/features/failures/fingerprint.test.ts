import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fingerprintText, normaliseMessage } from '../../../../src/features/failures/domain.ts';

describe('what differs from one time to the next is taken out of a message', () => {
  test.each([
    ['order 4711 is unknown', 'order <n> is unknown'],
    ['took 1.5 s, of 12,000.25', 'took <n> s, of <n>'],
    ['took longer than timeout_seconds (30)', 'took longer than timeout_seconds (<n>)'],
    ['waited 250ms', 'waited <n>ms'],
    ['no run 0197c2a0-5b1e-7c33-9d2f-6a1b0c9d8e7f', 'no run <id>'],
    ['NO RUN 0197C2A0-5B1E-7C33-9D2F-6A1B0C9D8E7F.', 'NO RUN <id>.'],
    ['commit 9fceb02d0ae598e95dc970b74767f19372d61af8 is gone', 'commit <id> is gone'],
    ['object 507f1f77bcf86cd799439011 is locked', 'object <id> is locked'],
    ['request 01HZY8K3N7Q9W5V2T4R6P8M0XB failed', 'request <id> failed'],
    ['order-17 of customer_23', 'order-<n> of customer_<n>'],
    ['due at 2030-01-01T12:00:00.000Z', 'due at <time>'],
    ['due at 2030-01-01 12:00:00+02:00, not 23:59:59', 'due at <time>, not <time>'],
    ['since 2030-01-01', 'since <time>'],
    ['connect ECONNREFUSED 127.0.0.1:5432', 'connect ECONNREFUSED <ip>'],
    [`unknown column 'total_7' in "orders"`, `unknown column '*' in '*'`],
    ['no `key` and no “name”', `no '*' and no '*'`],
    [`can't open it, won't try`, `can't open it, won't try`],
    ['two\n  lines\tof 3', 'two lines of <n>'],
    ['sha256 differs', 'sha<n> differs'],
    ['Überlauf: Größe 17', 'Überlauf: Größe <n>'],
    ['', ''],
  ])('%s', (message, template) => {
    expect(normaliseMessage(message)).toBe(template);
  });
});

describe('what says where and how it failed stays', () => {
  test.each([
    ['https://API.example.com/orders/4711?x=1 answered 503', 'https://api.example.com/orders/* answered 503'],
    ['GET http://10.0.0.7:8080/v1/items/0197c2a0-5b1e-7c33 failed', 'GET http://10.0.0.7:8080/v1/items/* failed'],
    ['see (https://example.com/a/b).', 'see (https://example.com/a/b).'],
    ['https://user:pass@example.com/x', 'https://example.com/x'],
    ["cannot reach 'https://example.com/things/12'", "cannot reach 'https://example.com/things/*'"],
    ['postgres://db.internal:5432/app17', 'postgres://db.internal:5432/*'],
    ['the service answered 404: no order 12', 'the service answered 404: no order <n>'],
    ['HTTP/1.1 502', 'HTTP/1.1 502'],
    ['status code: 429', 'status code: 429'],
    ['answered 5031', 'answered <n>'],
  ])('%s', (message, template) => {
    expect(normaliseMessage(message)).toBe(template);
  });
});

test('another host and another status are another failure', () => {
  expect(normaliseMessage('https://a.example/x answered 503')).not.toBe(
    normaliseMessage('https://b.example/x answered 503'),
  );
  expect(normaliseMessage('answered 500')).not.toBe(normaliseMessage('answered 503'));
});

test('only the start counts', () => {
  expect(normaliseMessage(`${'word '.repeat(1_000)}a`)).toBe(normaliseMessage(`${'word '.repeat(1_000)}b`));
  expect(normaliseMessage('word '.repeat(1_000)).length).toBeLessThanOrEqual(500);
});

test('whatever ids, numbers and times are in a message, it is the same failure', () => {
  const told = fc.record({
    run: fc.uuid(),
    order: fc.nat(),
    at: fc.date({ noInvalidDate: true, min: new Date(0), max: new Date('2100-01-01') }).map((at) => at.toISOString()),
    hash: fc.stringMatching(/^[0-9a-f]{32}$/).map((text) => `4a7${text}`),
    name: fc.stringMatching(/^[\p{L}\d :_.-]{0,40}$/u),
  });
  const messageOf = ({ run, order, at, hash, name }: { [key: string]: unknown }) =>
    `run ${run}: order ${order} of "${name}" (https://api.example.com/orders/${order}?h=${hash}) failed at ${at}, ${hash}; answered 503`;
  fc.assert(
    fc.property(told, (values) => {
      expect(normaliseMessage(messageOf(values))).toBe(
        `run <id>: order <n> of '*' (https://api.example.com/orders/*) failed at <time>, <id>; answered 503`,
      );
    }),
  );
});

/** A pattern that goes back and forth over it would not come to an end within the time of a test. */
test.each([
  '"',
  "'",
  '`',
  'a',
  '1',
  '1.',
  '1,',
  'http://',
  'a://'.repeat(3),
  '1:',
  '0-',
  '-',
  '2030-01-01T',
  'ab12',
  '“',
  ' ',
  '\n',
  '/',
])('a message that is nothing but %j costs its length', (piece) => {
  expect(normaliseMessage(piece.repeat(100_000)).length).toBeLessThanOrEqual(500);
});

test('a fingerprint is of one action, code and message', () => {
  const kind = { actionType: 'service_call', workflowId: 'w', actionId: 'a', code: 'timeout', template: 't' };
  const texts = [
    kind,
    { ...kind, actionType: 'http_request' },
    { ...kind, workflowId: null },
    { ...kind, actionId: 'b' },
    { ...kind, code: 'cancelled' },
    { ...kind, template: 'u' },
  ].map(fingerprintText);
  expect(new Set(texts).size).toBe(texts.length);
  expect(fingerprintText({ ...kind })).toBe(fingerprintText(kind));
});
