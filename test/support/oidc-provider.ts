/**
 * An OpenID provider, small and strict: it sends a browser back at once, gives one token for a code, checks the client and
 * the verifier of PKCE, and signs with RS256. What it says wrongly is said on purpose, by `lie`.
 */
import { createHash, randomUUID } from 'node:crypto';
import { answerJson, type HttpServer, type Received, startHttpServer } from './http-server.ts';
import { type Json, jwkOf, type KeyPair, makeKeys, signedToken } from './tokens.ts';

export const CLIENT = { id: 'orchestrator', secret: 'the secret: of the client/é' };

/** A URL: to where the browser is sent. */
type Said = URL | { body: Json; status?: number };

interface Grant {
  challenge: string;
  redirectUri: string;
  nonce: string;
}

export interface Provider {
  issuer: string;
  server: HttpServer;
  /** Who logs in, and what is said of that one. */
  user: Json;
  lie: {
    /** In the ID token, over what is true. */
    claims?: Json;
    /** In the address that the browser is sent back to. */
    callback?: Record<string, string>;
    discovery?: Json;
    /** The status of every answer. */
    status?: number;
    /** The ID token as a whole. */
    token?: (truth: Json) => string;
  };
  publicClient: boolean;
  rotate(): void;
  paths(): string[];
  close(): Promise<void>;
}

export async function startProvider(): Promise<Provider> {
  const grants = new Map<string, Grant>();
  let generation = 1;
  let keys: KeyPair = makeKeys.rsa();

  const server = await startHttpServer((request, response) => {
    const said = saidTo(request);
    if (said instanceof URL) response.writeHead(302, { location: said.href }).end();
    else answerJson(response, said.body, said.status);
  });

  function saidTo(request: Received): Said {
    const { pathname, searchParams } = new URL(request.path, server.url);
    if (provider.lie.status !== undefined) return { body: { error: 'broken' }, status: provider.lie.status };
    if (pathname === '/.well-known/openid-configuration') return { body: discovery() };
    if (pathname === '/keys') {
      const key = jwkOf(keys.publicKey, { kid: `key-${generation}`, alg: 'RS256', use: 'sig' });
      return { body: { keys: [key] } };
    }
    if (pathname === '/authorize') return authorize(searchParams);
    if (pathname === '/token' && request.method === 'POST') return token(request);
    return { body: { error: 'not_found' }, status: 404 };
  }

  function discovery(): Json {
    return {
      issuer: server.url,
      authorization_endpoint: `${server.url}/authorize`,
      token_endpoint: `${server.url}/token`,
      jwks_uri: `${server.url}/keys`,
      end_session_endpoint: `${server.url}/end`,
      response_types_supported: ['code'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['RS256'],
      authorization_response_iss_parameter_supported: true,
      ...provider.lie.discovery,
    };
  }

  function authorize(asked: URLSearchParams): Said {
    const wanted = { response_type: 'code', client_id: CLIENT.id, code_challenge_method: 'S256' };
    for (const [name, value] of Object.entries(wanted)) {
      if (asked.get(name) !== value) return { body: { error: 'invalid_request', name }, status: 400 };
    }
    const redirectUri = asked.get('redirect_uri') ?? '';
    const challenge = asked.get('code_challenge') ?? '';
    const nonce = asked.get('nonce') ?? '';
    const state = asked.get('state') ?? '';
    const scopes = (asked.get('scope') ?? '').split(' ');
    if (challenge === '' || nonce === '' || state === '' || !scopes.includes('openid')) {
      return { body: { error: 'invalid_request' }, status: 400 };
    }
    const code = randomUUID();
    grants.set(code, { challenge, redirectUri, nonce });
    const back = new URL(redirectUri);
    const said: Record<string, string> = { code, state, iss: server.url, ...provider.lie.callback };
    for (const [name, value] of Object.entries(said)) back.searchParams.set(name, value);
    return back;
  }

  function token(request: Received): Said {
    const form = new URLSearchParams(request.body);
    if (!isClient(request, form)) return { body: { error: 'invalid_client' }, status: 401 };
    const code = form.get('code') ?? '';
    const grant = grants.get(code);
    grants.delete(code);
    const challenge = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url');
    const fits = grant?.challenge === challenge && grant.redirectUri === form.get('redirect_uri');
    if (form.get('grant_type') !== 'authorization_code' || !fits) {
      return { body: { error: 'invalid_grant' }, status: 400 };
    }
    const now = Math.floor(Date.now() / 1_000);
    const truth = {
      ...{ iss: server.url, aud: CLIENT.id, iat: now, exp: now + 60, nonce: grant.nonce },
      ...provider.user,
      ...provider.lie.claims,
    };
    const header = { alg: 'RS256', kid: `key-${generation}` };
    const idToken = provider.lie.token?.(truth) ?? signedToken(truth, header, keys.privateKey);
    return { body: { access_token: 'none of ours', token_type: 'Bearer', id_token: idToken } };
  }

  /** As RFC 6749 has it: both parts are form-encoded before they become Basic. */
  function isClient(request: Received, form: URLSearchParams): boolean {
    if (provider.publicClient)
      return form.get('client_id') === CLIENT.id && request.headers.authorization === undefined;
    const [, basic = ''] = /^Basic (.+)$/.exec(request.headers.authorization ?? '') ?? [];
    const [id = '', secret = ''] = Buffer.from(basic, 'base64').toString().split(':').map(formDecoded);
    return id === CLIENT.id && secret === CLIENT.secret;
  }

  const provider: Provider = {
    issuer: server.url,
    server,
    user: { sub: 'anna', tenant_id: 'default', roles: ['operator'] },
    lie: {},
    publicClient: false,
    rotate() {
      generation += 1;
      keys = makeKeys.rsa();
    },
    paths: () => server.received.map(({ path }) => path.split('?', 1)[0] ?? ''),
    close: () => server.close(),
  };
  return provider;
}

function formDecoded(text: string): string {
  return decodeURIComponent(text.replaceAll('+', ' '));
}
