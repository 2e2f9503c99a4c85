/** The settings of logging in with a browser. */
import { expect, test } from 'vitest';
import { announceAuthentication } from '../../../src/compose/authentication.ts';
import { ConfigError, loadConfig } from '../../../src/config/config.ts';

const SET = {
  SECRETS_DIR: '/nowhere',
  OIDC_ISSUER: 'https://id.example/realms/main',
  OIDC_CLIENT_ID: 'orchestrator',
  SESSION_SECRET: 's'.repeat(32),
  PUBLIC_URL: 'https://orch.example/',
};
const load = (environment: Record<string, string>) => loadConfig(environment, { cwd: '/nowhere' });

function faults(environment: Record<string, string>): readonly string[] {
  try {
    load(environment);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
}

test('a provider asks everybody for credentials; claims are those of tokens unless they have names of their own', () => {
  const { authentication, host } = load({ ...SET, JWT_TENANT_CLAIM: 'org', OIDC_ROLES_CLAIM: 'groups' });
  expect(authentication.required).toBe(true);
  expect(host).toBe('0.0.0.0');
  expect(authentication.oidc).toMatchObject({
    ...{ tenantClaim: 'org', rolesClaim: 'groups', defaultRoles: ['viewer'], scopes: 'openid profile' },
    ...{ clientSecret: undefined, sessionHours: 8, publicUrl: 'https://orch.example' },
  });
  expect(load({ SECRETS_DIR: '/nowhere' }).authentication.oidc).toBeUndefined();
});

test.each([
  ['OIDC_CLIENT_ID', /OIDC_ISSUER is set and OIDC_CLIENT_ID is not/],
  ['PUBLIC_URL', /PUBLIC_URL is not/],
  ['SESSION_SECRET', /SESSION_SECRET is not/],
  ['OIDC_ISSUER', /OIDC_CLIENT_ID is set and OIDC_ISSUER is not/],
])('nothing starts without %s', (name, fault) => {
  expect(faults({ ...SET, [name]: '' })).toEqual([expect.stringMatching(fault)]);
});

test('a secret that can be guessed and scopes without openid are refused, and secrets are not shown', () => {
  const [short] = faults({ ...SET, SESSION_SECRET: 'short-secret' });
  expect(short).toContain('at least 32 characters');
  expect(short).not.toContain('short-secret');
  expect(faults({ ...SET, OIDC_SCOPES: 'profile' })).toEqual([expect.stringContaining('openid')]);
  const shown = JSON.stringify(load({ ...SET, OIDC_CLIENT_SECRET: 'of-the-client' }).effective);
  expect(shown).toContain('id.example');
  expect(shown).not.toMatch(/of-the-client|ssssssss/);
});

test('what goes over a network in plain is a warning', () => {
  const said = (more: Record<string, string>) => {
    const events: string[] = [];
    const keep = (event: string) => void events.push(event);
    announceAuthentication(load({ ...SET, ...more }), { debug: keep, info: keep, warn: keep, error: keep });
    return events;
  };
  expect(said({})).toEqual(['authentication']);
  expect(said({ OIDC_ISSUER: 'http://id.example' })).toEqual(['authentication', 'login_not_encrypted']);
  expect(said({ PUBLIC_URL: 'http://orch.example' })).toEqual(['authentication', 'sessions_not_encrypted']);
  expect(said({ OIDC_ISSUER: 'http://127.0.0.1:1', PUBLIC_URL: 'http://localhost:8000' })).toEqual(['authentication']);
});
