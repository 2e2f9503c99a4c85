import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addressBelow, isBelow } from '../../../src/domain/service-address.ts';

const BASE = 'http://doc-store:5010/api/v1';

describe('a path below the address of a service', () => {
  test.each([
    ['', '/api/v1'],
    ['documents', '/api/v1/documents'],
    ['/documents?x=1&y=..%2f', '/api/v1/documents'],
    ['//evil.test/x', '/api/v1/evil.test/x'],
    ['@evil.test/', '/api/v1/@evil.test/'],
    [':80@evil.test/', '/api/v1/:80@evil.test/'],
    ['a/../b', '/api/v1/b'],
    ['\\..\\admin', '/api/v1/admin'],
    ['files/a%2Fb', '/api/v1/files/a%2Fb'],
    ['v1..2/...', '/api/v1/v1..2/...'],
    ['#fragment', '/api/v1/'],
    ['mailto:x@evil.test', '/api/v1/mailto:x@evil.test'],
  ])('%j leads to %s', (path, pathname) => {
    const target = addressBelow(BASE, path);
    expect([target?.origin, target?.pathname]).toEqual(['http://doc-store:5010', pathname]);
  });

  test.each([
    'http://evil.test/',
    'HTTP://evil.test/',
    'gopher://evil.test/',
    '..',
    '../admin',
    '/../../admin',
    'a/../../../admin',
    '%2e%2e/admin',
    '%2E%2E%2Fadmin',
    '..%2fadmin',
    '..%5cadmin',
    '..\\admin',
    '.%2e/admin',
    '%252e%252e/admin',
    '..%252fadmin',
    '..;/admin',
    '..;x=1/admin',
    '..%3b/admin',
    'a/..%2f..%2f..%2fadmin',
    '.%0a./..%2f',
  ])('%j leads elsewhere and is rejected', (path) => {
    expect(addressBelow(BASE, path)).toBeUndefined();
  });

  test('whatever a template fills in, scheme, host, port and the path in front stay', () => {
    const parts = fc.constantFrom(
      '..',
      '.',
      '/',
      '\\\\',
      '%2e',
      '%2f',
      '%5c',
      '%25',
      '@',
      ':',
      '//',
      'evil.test',
      ';',
      '?',
      '#',
      '\t',
      '\n',
      'a',
    );
    fc.assert(
      fc.property(fc.array(parts, { maxLength: 12 }), (words) => {
        const target = addressBelow(BASE, words.join(''));
        if (target === undefined) return;
        expect(target.origin).toBe('http://doc-store:5010');
        expect(target.username).toBe('');
        // What a server makes of it that decodes once more, and resolves then.
        const again = new URL(decodeURIComponentSafely(target.pathname).replaceAll('\\\\', '/'), 'http://x');
        expect(`${again.pathname}/`).toMatch(/^\/api\/v1\//);
      }),
    );
  });
});

test('a configured address stands for what is below it, not for its whole host', () => {
  const base = new URL(BASE);
  expect(isBelow(base, new URL(`${BASE}/x`))).toBe(true);
  expect(isBelow(base, new URL('http://doc-store:5010/api/v10'))).toBe(false);
  expect(isBelow(base, new URL('http://doc-store:5010/admin'))).toBe(false);
  expect(isBelow(base, new URL('http://doc-store:5011/api/v1/x'))).toBe(false);
  expect(isBelow(base, new URL('https://doc-store:5010/api/v1/x'))).toBe(false);
  expect(isBelow(base, new URL('http://doc-store.evil.test:5010/api/v1/x'))).toBe(false);
  expect(isBelow(new URL('http://doc-store:5010'), new URL('http://doc-store:5010/anything'))).toBe(true);
});

function decodeURIComponentSafely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
