/** What a process says at start of who is let in. */
import { expect, test } from 'vitest';
import { announceAuthentication } from '../../../src/compose/authentication.ts';
import { loadConfig } from '../../../src/config/config.ts';

function said(environment: Record<string, string>): Array<[string, object | undefined]> {
  const lines: Array<[string, object | undefined]> = [];
  const keep = (event: string, fields?: object) => void lines.push([event, fields]);
  const log = { debug: keep, info: keep, warn: keep, error: keep };
  announceAuthentication(loadConfig({ SECRETS_DIR: '/nowhere', ...environment }, { cwd: '/nowhere' }), log);
  return lines;
}

test('what is asked for is said, and nothing of the credentials themselves', () => {
  const secret = 'a-secret-of-more-than-256-bits-for-tests';
  const provider = { JWKS_URL: 'https://id.example/keys', JWT_ISSUER: 'x', JWT_AUDIENCE: 'y' };
  expect(said({ API_KEY: 'key-abcdef', JWT_SECRET: secret, ...provider })).toEqual([
    ['authentication', { required: true, means: ['api_key', 'jwt_secret', 'jwks'], host: '0.0.0.0' }],
  ]);
});

test('that nothing is asked for is a warning where others can reach it, and where it listens for this machine alone it is none', () => {
  expect(said({})).toEqual([['authentication', { required: false, means: [], host: '127.0.0.1' }]]);
  expect(said({ AUTH_MODE: 'none' }).map(([event]) => event)).toEqual(['authentication', 'authentication_off']);
});

test('an identity service is named, and one that is asked unencrypted over a network is a warning', () => {
  expect(said({ IDENTITY_SERVICE_URL: 'http://127.0.0.1:10002' })).toEqual([
    ['authentication', { required: true, means: ['identity'], host: '0.0.0.0' }],
  ]);
  const events = said({ IDENTITY_SERVICE_URL: 'http://id.example' }).map(([event]) => event);
  expect(events).toEqual(['authentication', 'identity_not_encrypted']);
});

test('keys of a provider that come unencrypted over a network are a warning', () => {
  const claims = { JWT_ISSUER: 'x', JWT_AUDIENCE: 'y' };
  const events = (url: string) => said({ JWKS_URL: url, ...claims }).map(([event]) => event);
  expect(events('http://id.example/keys')).toEqual(['authentication', 'jwks_not_encrypted']);
  expect(events('http://127.0.0.1:8080/keys')).toEqual(['authentication']);
});
