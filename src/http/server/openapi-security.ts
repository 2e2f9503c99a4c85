/** How the OpenAPI document says with which credentials an operation is called. */
import type { oas31 } from 'zod-openapi';
import type { Operation } from './operation.ts';

export type SecurityScheme = 'apiKey' | 'bearer' | 'openIdConnect' | 'session' | 'mutualTls' | 'webhook' | 'peer';

/** Stands for the issuer where none is configured, as in the committed document. */
const SOME_ISSUER = 'https://identity.example.com';
const DISCOVERY = '/.well-known/openid-configuration';

export function securitySchemes(issuer = SOME_ISSUER): Record<SecurityScheme, oas31.SecuritySchemeObject> {
  return {
    apiKey: {
      type: 'apiKey',
      in: 'header',
      name: 'X-API-Key',
      description: 'A key of API_KEY, or one that a tenant made by `POST /api-keys`.',
    },
    bearer: {
      type: 'http',
      scheme: 'bearer',
      description:
        'A JSON Web Token, or an API key. `GET /metrics` also accepts METRICS_TOKEN. A browser that opens a WebSocket sends it as the subprotocol after `bearer`.',
    },
    openIdConnect: {
      type: 'openIdConnect',
      openIdConnectUrl: `${issuer.replace(/\/+$/, '')}${DISCOVERY}`,
      description:
        'The provider in OIDC_ISSUER. A browser logs in at `GET /auth/login` and has a session cookie then; a program sends a token of the provider as a bearer token if JWKS_URL has its keys.',
    },
    session: {
      type: 'apiKey',
      in: 'cookie',
      name: '__Host-orchestrator_session',
      description:
        'The session of a browser after its login; without https the name is `orchestrator_session`. Requests that change something must come from pages of this service or of CORS_ORIGINS.',
    },
    mutualTls: {
      type: 'mutualTLS' as oas31.SecuritySchemeType, // Of OpenAPI 3.1, and not of these types.
      description: 'A client certificate whose name is in the configuration, if there are no other credentials.',
    },
    webhook: {
      type: 'apiKey',
      in: 'header',
      name: 'webhook-signature',
      description: 'A signature as in Standard Webhooks, with `webhook-id` and `webhook-timestamp`.',
    },
    peer: {
      type: 'apiKey',
      in: 'header',
      name: 'X-Peer-Signature',
      description: 'A signature with PEER_SECRET, as the operation describes it.',
    },
  };
}

/** Any of them. The empty one: where no credentials are configured none are needed. */
const CREDENTIALS: readonly SecurityScheme[] = ['apiKey', 'bearer', 'openIdConnect', 'session', 'mutualTls'];

export function securityOf({ permission, signedBy }: Pick<Operation, 'permission' | 'signedBy'>) {
  const needed = permission === 'public' ? [] : CREDENTIALS;
  const accepted = signedBy === undefined ? needed : [...needed, signedBy];
  // Nothing at all is required of a public operation, also where credentials are configured.
  if (accepted.length === 0) return [];
  return [{}, ...accepted.map((scheme): Record<string, string[]> => ({ [scheme]: [] }))];
}
