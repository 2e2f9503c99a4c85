import { expect, test } from 'vitest';
import { hostAllows, isSecretHost } from '../../../src/domain/secret-hosts.ts';

test.each([
  'api.example.com',
  'localhost',
  'a.b:8443',
  '*.example.com',
  '*.example.com:1',
  '10.0.0.1:80',
  '[::1]:9000',
])('%s is a host', (host) => {
  expect(isSecretHost(host)).toBe(true);
});

test.each([
  '',
  '*',
  'https://example.com',
  'example.com/path',
  'Example.com',
  'a..b',
  '-a.b',
  'a.*.b',
  'user@host',
  'host:0',
  'host:',
  'x'.repeat(300),
])('%s is none', (host) => {
  expect(isSecretHost(host)).toBe(false);
});

test.each<[hosts: string[], url: string, allowed: boolean]>([
  [['api.example.com'], 'https://api.example.com/a?b', true],
  [['api.example.com'], 'http://api.example.com', true],
  [['api.example.com'], 'https://API.EXAMPLE.COM:443/', true],
  [['api.example.com'], 'https://api.example.com:8443/', false],
  [['api.example.com'], 'https://api.example.com.evil.test/', false],
  [['api.example.com'], 'https://evil-api.example.com/', false],
  [['api.example.com'], 'https://api.example.com@evil.test/', false],
  [['api.example.com:8443'], 'https://api.example.com:8443/', true],
  [['api.example.com:8443'], 'https://api.example.com/', false],
  [['*.example.com'], 'https://a.b.example.com/', true],
  [['*.example.com'], 'https://example.com/', false],
  [['*.example.com'], 'https://evilexample.com/', false],
  [['a.test', 'b.test:1'], 'http://b.test:1/', true],
  [['[::1]:9000'], 'http://[::1]:9000/', true],
  [[], 'https://api.example.com/', false],
])('%j lets a secret go to %s: %s', (hosts, url, allowed) => {
  expect(hostAllows(hosts, new URL(url))).toBe(allowed);
});
