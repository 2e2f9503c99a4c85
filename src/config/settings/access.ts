/** The settings of authentication: who may use the API, and how callers prove who they are. */
import { ROLES } from '../../domain/access.ts';
import { certificateHolders, flag, list, listOf, oneOf, secretList, text, url, whole } from '../types.ts';
import { optional, setting } from './setting.ts';

export const access = {
  authMode: setting('AUTH_MODE', oneOf(['auto', 'none']), {
    default: 'auto',
    description:
      'none: while no authentication is configured, anybody who can reach the port may use the API. auto: in that case only this machine can reach it.',
  }),
  authRequired: setting('AUTH_REQUIRED', flag(), {
    default: 'false',
    description: 'true: the service does not start while no credentials are configured.',
  }),
  apiKeys: setting('API_KEY', list(), {
    default: '',
    description: 'The keys that clients send as X-API-Key or bearer token; a list.',
    secret: true,
  }),
  authentication: {
    jwt: {
      secrets: setting('JWT_SECRET', secretList(32), {
        default: '',
        description:
          'Verifies bearer tokens that are signed with HS256; a list: all are accepted, so that secrets can be rotated.',
        secret: true,
      }),
      jwksUrl: optional('JWKS_URL', url(['http', 'https']), {
        description:
          'The public keys of the identity provider whose bearer tokens are accepted (RS, PS, ES, EdDSA); needs JWT_ISSUER and JWT_AUDIENCE.',
        secret: 'credentials',
      }),
      issuers: setting('JWT_ISSUER', list(), {
        default: '',
        description: 'Accepted issuers of tokens (`iss`); a list. By default anybody who has JWT_SECRET.',
      }),
      audiences: setting('JWT_AUDIENCE', list(), {
        default: '',
        description: 'Accepted audiences of tokens (`aud`); a list. By default any.',
      }),
      toleranceSeconds: setting('JWT_CLOCK_TOLERANCE_SECONDS', whole(0, 300), {
        default: '30',
        description: 'Tolerated difference between the clocks of the issuer and this service.',
      }),
      tenantClaim: setting('JWT_TENANT_CLAIM', text(), {
        default: 'tenant_id',
        description: 'The claim with the tenant; dots refer to nested objects.',
      }),
      rolesClaim: setting('JWT_ROLES_CLAIM', text(), {
        default: 'roles',
        description:
          'The claim with the roles, such as realm_access.roles; dots refer to nested objects. Unknown roles are ignored.',
      }),
      defaultTenant: optional('JWT_DEFAULT_TENANT', text(), {
        description: 'The tenant of tokens without one. By default such tokens are rejected.',
      }),
      defaultRoles: setting('JWT_DEFAULT_ROLES', listOf(ROLES), {
        default: 'viewer',
        description: 'The roles of tokens without the roles claim; a list of viewer, operator, editor, admin, worker.',
      }),
    },
    oidc: {
      issuer: optional('OIDC_ISSUER', url(['http', 'https']), {
        description:
          'The OpenID provider for browser logins (Bull Board, the docs); needs OIDC_CLIENT_ID, PUBLIC_URL and SESSION_SECRET.',
      }),
      clientId: optional('OIDC_CLIENT_ID', text(), { description: 'The client id of this service at the provider.' }),
      clientSecret: optional('OIDC_CLIENT_SECRET', text(), {
        description:
          'The client secret of this service at the provider. Without it this is a public client that uses PKCE alone.',
        secret: true,
      }),
      scopes: setting('OIDC_SCOPES', list(), {
        default: 'openid,profile',
        description: 'Scopes that a login requests; a list that includes openid.',
      }),
      tenantClaim: optional('OIDC_TENANT_CLAIM', text(), {
        description: 'Like JWT_TENANT_CLAIM, for the ID token of a login. By default the same claim.',
      }),
      rolesClaim: optional('OIDC_ROLES_CLAIM', text(), {
        description: 'Like JWT_ROLES_CLAIM, for the ID token of a login. By default the same claim.',
      }),
      sessionSecrets: setting('SESSION_SECRET', secretList(32), {
        default: '',
        description:
          'Encrypts browser sessions, the same for all API processes; a list: the first encrypts, all are accepted, so that secrets can be rotated. A session ends when its secret is removed.',
        secret: true,
      }),
      sessionHours: setting('SESSION_HOURS', whole(1, 720), {
        default: '8',
        description: 'Lifetime of a browser session.',
      }),
    },
    trustedCallers: setting('TRUSTED_CALLERS', list(), {
      default: '',
      description:
        'Callers, such as a gateway, whose X-User-ID and X-Tenant-ID are trusted even if authentication is configured: api_key:<name>, jwt:<issuer>|<tenant>|<sub> or certificate:<user>; a list. jwt:<sub> alone refers to the single JWT_ISSUER, in the tenant default.',
    }),
    metricsTokens: setting('METRICS_TOKEN', secretList(16), {
      default: '',
      description: 'Bearer tokens that only grant access to /metrics of the API and of workers; a list.',
      secret: true,
    }),
  },
  identity: {
    url: optional('IDENTITY_SERVICE_URL', url(['http', 'https']), {
      description:
        'The identity service that verifies bearer tokens which are no keys and which JWT_SECRET and JWKS_URL do not verify (POST /v1/tokens/verify), and issues the tokens of sessions (POST /v1/tokens/issue).',
      secret: 'credentials',
    }),
    cacheSeconds: setting('IDENTITY_CACHE_SECONDS', whole(0, 3_600), {
      default: '30',
      description:
        'How long the service trusts what IDENTITY_SERVICE_URL said of a token, never past its end: a revocation may take as long.',
    }),
    timeoutMs: setting('IDENTITY_TIMEOUT_MS', whole(1, 30_000), {
      default: '2000',
      description: 'How long IDENTITY_SERVICE_URL may take to answer, in milliseconds; then the request is 503.',
    }),
  },
  tls: {
    enabled: setting('ENABLE_TLS', flag(), {
      default: 'false',
      description: 'true: the API and the port of a worker speak HTTPS, and both need the files below.',
    }),
    certPath: setting('TLS_CERT_PATH', text(), {
      default: './certs/server.crt',
      description: 'With ENABLE_TLS: the certificate (PEM), followed by its intermediate certificates.',
    }),
    keyPath: setting('TLS_KEY_PATH', text(), {
      default: './certs/server.key',
      description: 'With ENABLE_TLS: the private key of the certificate (PEM).',
    }),
    clientCerts: setting('TLS_CLIENT_CERTS', oneOf(['off', 'optional', 'required']), {
      default: 'off',
      description:
        'With ENABLE_TLS: client certificates (mutual TLS). required: a client without a certificate gets no connection, not even for liveness checks.',
    }),
    caPath: optional('TLS_CA_PATH', text(), {
      description: 'With TLS_CLIENT_CERTS: the CA certificates (PEM) that client certificates are verified against.',
    }),
    clients: setting('TLS_CLIENTS', certificateHolders(), {
      default: '',
      description:
        'With TLS_CLIENT_CERTS: the callers that certificates represent, by a name in them, as {"CN:gateway": {"user": "gateway", "tenant": "default", "roles": ["editor"]}}.',
    }),
  },
};
