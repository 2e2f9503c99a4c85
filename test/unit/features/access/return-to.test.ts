import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AFTER_LOGIN, ownPath } from '../../../../src/features/access/return-to.ts';

test.each(['/docs', '/admin/queues', '/admin/queues/queue/x?page=2#top', '/workflows/a%20b', '/a//b', '/?x=//evil'])(
  '%s is a path of our own',
  (path) => {
    expect(ownPath(path)).toBe(path);
  },
);

test.each([
  ...['//evil', '///evil', '/\\evil', '\\\\evil', '/\\/evil', 'https:evil', 'https://evil', 'javascript:alert(1)'],
  ...['evil', '@evil', '', ' /docs', '/docs ', './/evil', '/.//evil', '/a/..//evil', '/%2e//evil'],
  ...['/%2fevil', '/%2Fevil', '/%5cevil', '/%252fevil', '/%25255Cevil', '%2f%2fevil'],
  ...['/\r\nset-cookie: a=b', '/\t/evil', '/\n/evil', '/\u0000', '/docs\\..\\evil', '/é', '/ //evil'],
  ...['/auth/login', '/auth/login?return_to=/auth/login', '/auth', '/x/../auth/logout', `/${'x'.repeat(2_100)}`],
])('%j leads to the page of everybody', (path) => {
  expect(ownPath(path)).toBe(AFTER_LOGIN);
});

test('what is no text leads there too', () => {
  for (const value of [undefined, null, 1, ['/docs'], { path: '/docs' }]) expect(ownPath(value)).toBe(AFTER_LOGIN);
});

test('whatever is requested, a browser stays with us and has no second answer', () => {
  const parts = fc.constantFrom(
    '/',
    '\\',
    '//',
    '%2f',
    '%5c',
    '.',
    '..',
    'evil',
    ':',
    '@',
    '?',
    '#',
    '\r\n',
    '\t',
    '%25',
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(parts, fc.string({ maxLength: 4 })), { maxLength: 12 }), (pieces) => {
      const path = ownPath(pieces.join(''));
      expect(path).toMatch(/^\/(?![/\\])[\x21-\x7e]*$/);
      expect(new URL(path, 'https://own.example').origin).toBe('https://own.example');
      expect(new URL(`https://own.example${path}`).origin).toBe('https://own.example');
      // It stays what it is, however often it is asked.
      expect(ownPath(path)).toBe(path);
    }),
    { numRuns: 2_000 },
  );
});
