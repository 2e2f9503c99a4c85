/** Tokens that are taken and tokens that are not, by what is wrong with each. */
import { describe, expect, test } from 'vitest';
import { OrchestratorError } from '../../../../src/domain/errors.ts';
import { createKeySet, type KeySetDeps } from '../../../../src/http/auth/jwks.ts';
import { createJwtVerifier, type JwtRules } from '../../../../src/http/auth/jwt.ts';
import { createTestLog } from '../../../harness/test-log.ts';
import { encode, hmacToken, type Json, jwkOf, makeKeys, SECRET, signedToken } from '../../../support/tokens.ts';

const NOW = new Date('2030-01-01T12:00:00.000Z');
const SECONDS = NOW.getTime() / 1_000;
const CLAIMS: Json = {
  ...{ sub: 'anna', tenant_id: 'acme', roles: ['editor', 'operator'] },
  ...{ iss: 'https://id.example', aud: 'orchestrator', exp: SECONDS + 600, nbf: SECONDS - 60 },
};

const rsa = makeKeys.rsa();
const otherRsa = makeKeys.rsa();
const ec = makeKeys.ec('P-256');
const ed = makeKeys.ed();
const PEM = rsa.publicKey.export({ type: 'spki', format: 'pem' });
const DER = rsa.publicKey.export({ type: 'spki', format: 'der' });

const JWKS = {
  keys: [
    jwkOf(rsa.publicKey, { kid: 'rsa', alg: 'RS256', use: 'sig' }),
    jwkOf(otherRsa.publicKey, { kid: 'pss', alg: 'PS512' }),
    jwkOf(ec.publicKey, { kid: 'ec' }),
    jwkOf(ed.publicKey, { kid: 'ed' }),
    jwkOf(makeKeys.rsa(1024).publicKey, { kid: 'weak', alg: 'RS256' }),
    jwkOf(rsa.publicKey, { kid: 'encryption', alg: 'RS256', use: 'enc' }),
    { kty: 'oct', k: Buffer.from(SECRET).toString('base64url'), kid: 'symmetric', alg: 'HS256' },
  ],
};

function keySet(deps: Partial<KeySetDeps> = {}) {
  return createKeySet({ fetchKeys: async () => JWKS, elapsed: () => 0, log: createTestLog(), ...deps });
}

function verifier(rules: Partial<JwtRules> = {}) {
  return createJwtVerifier({
    secrets: [SECRET],
    keys: keySet(),
    issuers: ['https://id.example', 'https://id.test'],
    audiences: ['orchestrator', 'workflows'],
    toleranceSeconds: 30,
    tenantClaim: 'tenant_id',
    rolesClaim: 'roles',
    defaultTenant: undefined,
    defaultRoles: ['viewer'],
    now: () => NOW,
    ...rules,
  });
}

const ANNA = {
  issuer: 'https://id.example',
  userId: 'anna',
  tenantId: 'acme',
  access: { means: 'jwt', credential: expect.any(String), roles: ['operator', 'editor'], scopes: undefined },
};
const without = (...names: string[]) =>
  Object.fromEntries(Object.entries(CLAIMS).filter(([name]) => !names.includes(name)));
const HS = { alg: 'HS256', typ: 'JWT' };

describe('a token is taken', () => {
  test.each<[string, string]>([
    ['signed with the secret', hmacToken(CLAIMS)],
    ['with a kid that names nothing of ours beside the secret', hmacToken(CLAIMS, { ...HS, kid: 'v1' })],
    ['without a type', hmacToken(CLAIMS, { alg: 'HS256' })],
    ['that is an access token', hmacToken(CLAIMS, { alg: 'HS256', typ: 'at+JWT' })],
    ['signed RS256', signedToken(CLAIMS, { alg: 'RS256', kid: 'rsa' }, rsa.privateKey)],
    ['signed PS512', signedToken(CLAIMS, { alg: 'PS512', kid: 'pss' }, otherRsa.privateKey)],
    ['signed ES256', signedToken(CLAIMS, { alg: 'ES256', kid: 'ec' }, ec.privateKey)],
    ['signed EdDSA', signedToken(CLAIMS, { alg: 'EdDSA', kid: 'ed' }, ed.privateKey)],
    ['signed Ed25519', signedToken(CLAIMS, { alg: 'Ed25519', kid: 'ed' }, ed.privateKey)],
    ['of the other issuer, for several', hmacToken({ ...CLAIMS, iss: 'https://id.test', aud: ['x', 'workflows'] })],
    ['that ended as long ago as clocks may differ', hmacToken({ ...CLAIMS, exp: SECONDS - 29 })],
    ['that begins when clocks may differ', hmacToken({ ...CLAIMS, nbf: SECONDS + 29 })],
    ['without a beginning', hmacToken(without('nbf'))],
    ['with roles as words and roles of others', hmacToken({ ...CLAIMS, roles: 'operator root editor' })],
    ['with the scopes of every OpenID provider', hmacToken({ ...CLAIMS, scope: 'openid email profile' })],
  ])('%s', async (_what, token) => {
    expect(await verifier()(token)).toEqual({
      ...ANNA,
      issuer: expect.stringMatching(/^https:\/\/id\.(example|test)$/),
    });
  });

  test('is distinguished by its issuer, its key and its subject', async () => {
    const credential = async (token: string) => {
      const found = await verifier({ issuers: [] })(token);
      return 'why' in found ? found.why : found.access.credential;
    };
    const rs = signedToken({ ...CLAIMS, iss: 'https://id.example' }, { alg: 'RS256', kid: 'rsa' }, rsa.privateKey);
    expect(await credential(rs)).toBe('iss https://id.example, kid rsa, sub anna');
    expect(await credential(hmacToken(without('iss')))).toBe('sub anna');
  });

  test('signed with the secret that is being replaced, and not once it is gone', async () => {
    const token = hmacToken(CLAIMS);
    expect(await verifier({ secrets: ['the new one, which is long enough too', SECRET] })(token)).toEqual(ANNA);
    expect(await verifier({ secrets: ['the new one, which is long enough too'] })(token)).toEqual({
      why: 'wrong_signature',
    });
  });

  test('from anybody for anybody where neither issuer nor audience is configured', async () => {
    const open = verifier({ issuers: [], audiences: [] });
    expect(await open(hmacToken(without('iss', 'aud')))).toEqual({ ...ANNA, issuer: undefined });
    expect(await open(hmacToken({ ...CLAIMS, iss: 'x', aud: 'y' }))).toEqual({ ...ANNA, issuer: 'x' });
  });
});

const evil = makeKeys.rsa();
const REFUSED: Array<[string, string, string]> = [
  ['alg none', `${encode({ alg: 'none' })}.${encode(CLAIMS)}.`, 'no_token'],
  ['alg none with a signature', `${encode({ alg: 'none' })}.${encode(CLAIMS)}.AAAA`, 'unknown_key'],
  ['alg None', `${encode({ alg: 'None', kid: 'rsa' })}.${encode(CLAIMS)}.AAAA`, 'wrong_algorithm'],
  ['no alg', hmacToken(CLAIMS, { typ: 'JWT' }), 'wrong_algorithm'],
  ['an alg that is a list', hmacToken(CLAIMS, { alg: ['HS256'] }), 'wrong_algorithm'],
  ['another HMAC', hmacToken(CLAIMS, { alg: 'HS384' }), 'unknown_key'],
  [
    'the public key as HMAC secret, PEM',
    hmacToken(CLAIMS, { alg: 'HS256', kid: 'rsa' }, String(PEM)),
    'wrong_signature',
  ],
  ['the public key as HMAC secret, DER', hmacToken(CLAIMS, { alg: 'HS256', kid: 'rsa' }, DER), 'wrong_signature'],
  ['HMAC under the name of RS256', hmacToken(CLAIMS, { alg: 'RS256', kid: 'rsa' }, String(PEM)), 'wrong_signature'],
  ['an empty secret', hmacToken(CLAIMS, HS, ''), 'wrong_signature'],
  ['another secret', hmacToken(CLAIMS, HS, 'another secret of more than 256 bits'), 'wrong_signature'],
  ['another private key', signedToken(CLAIMS, { alg: 'RS256', kid: 'rsa' }, evil.privateKey), 'wrong_signature'],
  [
    'another algorithm of that key',
    signedToken(CLAIMS, { alg: 'RS512', kid: 'rsa' }, rsa.privateKey),
    'wrong_algorithm',
  ],
  ['PS256 with a key for RS256', signedToken(CLAIMS, { alg: 'PS256', kid: 'rsa' }, rsa.privateKey), 'wrong_algorithm'],
  [
    'ES256 under the name of an RSA key',
    signedToken(CLAIMS, { alg: 'ES256', kid: 'rsa' }, ec.privateKey),
    'wrong_algorithm',
  ],
  ['the key of another name', signedToken(CLAIMS, { alg: 'ES256', kid: 'ed' }, ec.privateKey), 'wrong_algorithm'],
  ['a weak key of the set', signedToken(CLAIMS, { alg: 'RS256', kid: 'weak' }, rsa.privateKey), 'unknown_key'],
  ['a key for encryption', signedToken(CLAIMS, { alg: 'RS256', kid: 'encryption' }, rsa.privateKey), 'unknown_key'],
  ['a symmetric key of the set', hmacToken(CLAIMS, { alg: 'HS512', kid: 'symmetric' }), 'unknown_key'],
  ['another issuer', hmacToken({ ...CLAIMS, iss: 'https://evil.example' }), 'wrong_claim_iss'],
  ['no issuer', hmacToken(without('iss')), 'wrong_claim_iss'],
  ['another audience', hmacToken({ ...CLAIMS, aud: 'billing' }), 'wrong_claim_aud'],
  ['no audience', hmacToken(without('aud')), 'wrong_claim_aud'],
  ['expired', hmacToken({ ...CLAIMS, exp: SECONDS - 31 }), 'expired'],
  ['no end', hmacToken(without('exp')), 'wrong_claim_exp'],
  ['an end that is text', hmacToken({ ...CLAIMS, exp: String(SECONDS + 600) }), 'wrong_claim_exp'],
  ['not yet valid', hmacToken({ ...CLAIMS, nbf: SECONDS + 31 }), 'wrong_claim_nbf'],
  ['a beginning that is text', hmacToken({ ...CLAIMS, nbf: 'now' }), 'wrong_claim_nbf'],
  ...[
    '',
    '../../dev/null',
    "x' UNION SELECT 'key' --",
    'https://evil.example/keys',
    'unknown',
    '__proto__',
    'constructor',
  ].map((kid): [string, string, string] => [
    `the kid ${JSON.stringify(kid)}`,
    signedToken(CLAIMS, { alg: 'RS256', kid }, rsa.privateKey),
    'unknown_key',
  ]),
  ['no kid while there are several keys', signedToken(CLAIMS, { alg: 'RS256' }, rsa.privateKey), 'unknown_key'],
  ['a kid that is a list', signedToken(CLAIMS, { alg: 'RS256', kid: ['rsa'] }, rsa.privateKey), 'malformed_header'],
  ['a kid that is a number', signedToken(CLAIMS, { alg: 'RS256', kid: 1 }, rsa.privateKey), 'malformed_header'],
  [
    'a kid without an end',
    signedToken(CLAIMS, { alg: 'RS256', kid: 'x'.repeat(257) }, rsa.privateKey),
    'malformed_header',
  ],
  ...(
    [
      ['jku', 'https://evil.example/keys'],
      ['x5u', 'https://evil.example/cert'],
      ['x5c', ['MIIB']],
      ['jwk', jwkOf(evil.publicKey)],
      ['crit', ['exp']],
      ['b64', false],
      ['zip', 'DEF'],
    ] as const
  ).map(([name, value]): [string, string, string] => [
    `the header ${name}`,
    hmacToken(CLAIMS, { ...HS, [name]: value }),
    'forbidden_header',
  ]),
  [
    'a jwk that it is signed with',
    signedToken(CLAIMS, { alg: 'RS256', jwk: jwkOf(evil.publicKey) }, evil.privateKey),
    'forbidden_header',
  ],
  ['the type of another kind of token', hmacToken(CLAIMS, { ...HS, typ: 'secevent+jwt' }), 'wrong_type'],
  ['a type that is no text', hmacToken(CLAIMS, { ...HS, typ: 1 }), 'wrong_type'],
  ['more than 8 kB', hmacToken({ ...CLAIMS, more: 'x'.repeat(8_192) }), 'too_long'],
  ['two parts', hmacToken(CLAIMS).split('.').slice(0, 2).join('.'), 'no_token'],
  ['four parts', `${hmacToken(CLAIMS)}.AAAA`, 'no_token'],
  ['five parts (encrypted)', `${hmacToken(CLAIMS)}.AAAA.AAAA`, 'no_token'],
  ['an empty signature', `${hmacToken(CLAIMS).split('.').slice(0, 2).join('.')}.`, 'no_token'],
  ['letters that base64url has not', hmacToken(CLAIMS).replace('.', '+.'), 'no_token'],
  ['a header that is no JSON', `${encode('{"alg":"HS256"')}.${encode(CLAIMS)}.AAAA`, 'malformed_header'],
  ['a header that is a list', `${encode('["HS256"]')}.${encode(CLAIMS)}.AAAA`, 'malformed_header'],
  ['a payload that is a list', hmacToken(['x'] as unknown as Json), 'malformed'],
  ['a payload that is no JSON', hmacToken('{"sub"' as unknown as Json), 'malformed'],
  ['no subject', hmacToken(without('sub')), 'wrong_claim_sub'],
  ['an empty subject', hmacToken({ ...CLAIMS, sub: '' }), 'no_subject'],
  ['a subject that is an object', hmacToken({ ...CLAIMS, sub: { id: 'anna' } }), 'no_subject'],
  ['a subject with a line end', hmacToken({ ...CLAIMS, sub: 'anna\nroot' }), 'no_subject'],
  ['no tenant', hmacToken(without('tenant_id')), 'no_tenant'],
  ['a tenant that is null', hmacToken({ ...CLAIMS, tenant_id: null }), 'no_tenant'],
  ['a tenant that is a list', hmacToken({ ...CLAIMS, tenant_id: ['acme', 'other'] }), 'no_tenant'],
  ['a tenant that is a number', hmacToken({ ...CLAIMS, tenant_id: 7 }), 'no_tenant'],
  ['a tenant of more than 255 letters', hmacToken({ ...CLAIMS, tenant_id: 'x'.repeat(256) }), 'no_tenant'],
  ['roles that are an object', hmacToken({ ...CLAIMS, roles: { admin: true } }), 'malformed_roles'],
  ['roles among which one is no text', hmacToken({ ...CLAIMS, roles: ['admin', 1] }), 'malformed_roles'],
  ['scopes that are a number', hmacToken({ ...CLAIMS, scope: 1 }), 'malformed_scopes'],
  ['nothing', '', 'no_token'],
];

describe('a token is rejected', () => {
  test.each(REFUSED)('%s', async (_what, token, why) => {
    expect(await verifier()(token)).toEqual({ why });
  });

  test('one changed letter anywhere in it', async () => {
    const token = signedToken(CLAIMS, { alg: 'ES256', kid: 'ec' }, ec.privateKey);
    for (let at = 0; at < token.length; at += 7) {
      // The last letter of a part has bits that count for nothing.
      if (token[at] === '.' || token[at + 1] === '.' || at === token.length - 1) continue;
      const changed = `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`;
      expect(await verifier()(changed), `at ${at}`).toHaveProperty('why');
    }
  });

  test('HS256 where no secret is configured, and signatures where no provider is', async () => {
    expect(await verifier({ secrets: [] })(hmacToken(CLAIMS, HS, ''))).toEqual({ why: 'unknown_key' });
    const signed = signedToken(CLAIMS, { alg: 'RS256', kid: 'rsa' }, rsa.privateKey);
    expect(await verifier({ keys: undefined })(signed)).toEqual({ why: 'unknown_key' });
  });
});

describe('what a token says', () => {
  const roles = async (more: Json, rules: Partial<JwtRules> = {}) => {
    const found = await verifier(rules)(hmacToken({ ...CLAIMS, ...more }));
    return 'why' in found ? found.why : found.access.roles;
  };

  test('roles that are not ours count for nothing; without any claim of roles the default holds', async () => {
    expect(await roles({ roles: ['root', 'Admin', 'offline_access'] })).toEqual([]);
    expect(await roles({ roles: [] })).toEqual([]);
    expect(await roles({ roles: undefined })).toEqual(['viewer']);
    expect(await roles({ roles: undefined }, { defaultRoles: ['worker'] })).toEqual(['worker']);
    expect(await roles({ roles: 'admin,viewer' })).toEqual(['viewer', 'admin']);
  });

  test('claims may have other names, and stand within others; names with dots of their own come first', async () => {
    const keycloak = { tenantClaim: 'org.id', rolesClaim: 'realm_access.roles' };
    const token = hmacToken({ ...CLAIMS, org: { id: 'inc' }, realm_access: { roles: ['admin', 'uma'] } });
    expect(await verifier(keycloak)(token)).toMatchObject({ tenantId: 'inc', access: { roles: ['admin'] } });
    const named = { rolesClaim: 'https://our.example/roles' };
    expect(await roles({ 'https://our.example/roles': ['worker'] }, named)).toEqual(['worker']);
    expect(await roles({}, { rolesClaim: 'constructor.name' })).toEqual(['viewer']);
    expect(await roles({}, { rolesClaim: 'sub.length' })).toEqual(['viewer']);
  });

  test('a tenant is taken for tokens that name none only where it is configured', async () => {
    const token = hmacToken(without('tenant_id'));
    expect(await verifier({ defaultTenant: 'ours' })(token)).toMatchObject({ tenantId: 'ours' });
    expect(await verifier({ defaultTenant: 'ours' })(hmacToken({ ...CLAIMS, tenant_id: 7 }))).toEqual({
      why: 'no_tenant',
    });
  });

  test('scopes of ours limit it, as words or as a list', async () => {
    const scopes = async (more: Json) => {
      const found = await verifier()(hmacToken({ ...CLAIMS, ...more }));
      return 'why' in found ? found.why : found.access.scopes;
    };
    expect(await scopes({ scope: 'openid runs:read' })).toEqual(['runs:read']);
    expect(await scopes({ scopes: ['runs:read', 'tasks:*'] })).toEqual(['runs:read', 'tasks:*']);
    expect(await scopes({ scope: 'openid https://graph.example/x' })).toBeUndefined();
  });
});

describe('the keys of a provider', () => {
  const signed = (kid?: string) =>
    signedToken(CLAIMS, { alg: 'ES256', ...(kid === undefined ? {} : { kid }) }, ec.privateKey);
  const set = (...kids: string[]) => ({ keys: kids.map((kid) => jwkOf(ec.publicKey, { kid })) });

  test('are read once, and again when a token names one that is not among them, not more often than the cooldown', async () => {
    let now = 0;
    let reads = 0;
    let document: object = set('old');
    const keys = keySet({
      fetchKeys: async () => {
        reads += 1;
        return document;
      },
      elapsed: () => now,
      cooldownMs: 10_000,
      maxAgeMs: 60_000,
    });
    const verify = verifier({ keys });
    await Promise.all([verify(signed('old')), verify(signed('old')), verify(signed('old'))]);
    expect(reads).toBe(1);
    document = set('new');
    for (let kid = 0; kid < 100; kid += 1) await verify(signed(`invented-${kid}`));
    expect(reads).toBe(1);
    now += 10_000;
    expect(await verify(signed('new'))).toEqual(ANNA);
    expect(reads).toBe(2);
    expect(await verify(signed('old'))).toEqual({ why: 'unknown_key' });
    expect(reads).toBe(2);
    // What is old is read anew: a key that was withdrawn ends.
    document = set('newest');
    now += 59_000;
    expect(await verify(signed('new'))).toEqual(ANNA);
    now += 2_000;
    expect(await verify(signed('new'))).toEqual({ why: 'unknown_key' });
    expect(reads).toBe(3);
  });

  test('stay valid for a day while the provider is away', async () => {
    let now = 0;
    let away = false;
    const keys = keySet({
      fetchKeys: async () => {
        if (away) throw new Error('connection refused');
        return set('a');
      },
      elapsed: () => now,
    });
    const verify = verifier({ keys });
    expect(await verify(signed('a'))).toEqual(ANNA);
    away = true;
    now = 23 * 3_600_000;
    expect(await verify(signed('a'))).toEqual(ANNA);
    expect(await verify(signed('b'))).toEqual({ why: 'unknown_key' });
    now = 25 * 3_600_000;
    await expect(verify(signed('a'))).rejects.toMatchObject({ code: 'unavailable' });
    away = false;
    now += 60_000;
    expect(await verify(signed('a'))).toEqual(ANNA);
  });

  test.each<[string, () => Promise<unknown>]>([
    ['cannot be reached', () => Promise.reject(new Error('connection refused'))],
    ['answers something else', async () => ({ error: 'gone' })],
    ['answers no usable key', async () => ({ keys: [{ kty: 'oct', k: 'AAAA' }] })],
    ['answers too many keys', async () => set(...Array.from({ length: 101 }, (_, at) => `${at}`))],
  ])('are not there while it %s: 503, not 401, and asked for once', async (_what, fetchKeys) => {
    let reads = 0;
    const keys = keySet({
      fetchKeys: () => {
        reads += 1;
        return fetchKeys();
      },
    });
    for (let again = 0; again < 3; again += 1) {
      await expect(verifier({ keys })(signed('a'))).rejects.toThrow(OrchestratorError);
      await expect(verifier({ keys })(signed('a'))).rejects.toMatchObject({ code: 'unavailable' });
    }
    expect(reads).toBe(1);
    // Secrets need no provider.
    expect(await verifier({ keys })(hmacToken(CLAIMS))).toEqual(ANNA);
  });

  test('need no name while there is but one', async () => {
    const one = { keys: [jwkOf(ec.publicKey)] };
    expect(await verifier({ keys: keySet({ fetchKeys: async () => one }) })(signed())).toEqual(ANNA);
    const two = { keys: [jwkOf(ec.publicKey), jwkOf(rsa.publicKey)] };
    await expect(verifier({ keys: keySet({ fetchKeys: async () => two }) })(signed())).rejects.toMatchObject({
      code: 'unavailable',
    });
  });
});
