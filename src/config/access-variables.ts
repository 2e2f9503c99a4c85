/** The variables that say who may come in, and how they show who they are. */
import { ROLES } from '../domain/access.ts';
import { certificateHolders, flag, list, listOf, oneOf, secretList, text, url, whole } from './types.ts';
import { optional, setting, type Variable } from './variable.ts';

export const ACCESS_VARIABLES = {
  AUTH_MODE: setting(
    oneOf(['auto', 'none']),
    'auto',
    'none: while no authentication is configured, anybody who can reach the port may use the API. auto: in that case only this machine can reach it.',
  ),
  AUTH_REQUIRED: setting(flag(), 'false', 'true: the service does not start while no credentials are configured.'),
  API_KEY: setting(list(), '', 'The keys that clients send as X-API-Key or bearer token; a list.', { secret: true }),
  JWT_SECRET: setting(
    secretList(32),
    '',
    'Verifies bearer tokens that are signed with HS256; a list: all are accepted, so that secrets can be rotated.',
    { secret: true },
  ),
  JWKS_URL: optional(
    url(['http', 'https']),
    'The public keys of the identity provider whose bearer tokens are accepted (RS, PS, ES, EdDSA); needs JWT_ISSUER and JWT_AUDIENCE.',
    { secret: 'credentials' },
  ),
  JWT_ISSUER: setting(list(), '', 'Accepted issuers of tokens (`iss`); a list. By default anybody who has JWT_SECRET.'),
  JWT_AUDIENCE: setting(list(), '', 'Accepted audiences of tokens (`aud`); a list. By default any.'),
  JWT_CLOCK_TOLERANCE_SECONDS: setting(
    whole(0, 300),
    '30',
    'Tolerated difference between the clocks of the issuer and this service.',
  ),
  JWT_TENANT_CLAIM: setting(text(), 'tenant_id', 'The claim with the tenant; dots refer to nested objects.'),
  JWT_ROLES_CLAIM: setting(
    text(),
    'roles',
    'The claim with the roles, such as realm_access.roles; dots refer to nested objects. Unknown roles are ignored.',
  ),
  JWT_DEFAULT_TENANT: optional(text(), 'The tenant of tokens without one. By default such tokens are rejected.'),
  JWT_DEFAULT_ROLES: setting(
    listOf(ROLES),
    'viewer',
    'The roles of tokens without the roles claim; a list of viewer, operator, editor, admin, worker.',
  ),
  OIDC_ISSUER: optional(
    url(['http', 'https']),
    'The OpenID provider for browser logins (Bull Board, the docs); needs OIDC_CLIENT_ID, PUBLIC_URL and SESSION_SECRET.',
  ),
  OIDC_CLIENT_ID: optional(text(), 'The client id of this service at the provider.'),
  OIDC_CLIENT_SECRET: optional(
    text(),
    'The client secret of this service at the provider. Without it this is a public client that uses PKCE alone.',
    {
      secret: true,
    },
  ),
  OIDC_SCOPES: setting(list(), 'openid,profile', 'Scopes that a login requests; a list that includes openid.'),
  OIDC_TENANT_CLAIM: optional(text(), 'Like JWT_TENANT_CLAIM, for the ID token of a login. By default the same claim.'),
  OIDC_ROLES_CLAIM: optional(text(), 'Like JWT_ROLES_CLAIM, for the ID token of a login. By default the same claim.'),
  SESSION_SECRET: setting(
    secretList(32),
    '',
    'Encrypts browser sessions, the same for all API processes; a list: the first encrypts, all are accepted, so that secrets can be rotated. A session ends when its secret is removed.',
    { secret: true },
  ),
  SESSION_HOURS: setting(whole(1, 720), '8', 'Lifetime of a browser session.'),
  TRUSTED_CALLERS: setting(
    list(),
    '',
    'Callers, such as a gateway, whose X-User-ID and X-Tenant-ID are trusted even if authentication is configured: api_key:<name>, jwt:<issuer>|<tenant>|<sub> or certificate:<user>; a list. jwt:<sub> alone refers to the single JWT_ISSUER, in the tenant default.',
  ),
  METRICS_TOKEN: setting(
    secretList(16),
    '',
    'Bearer tokens that only grant access to /metrics of the API and of workers; a list.',
    { secret: true },
  ),
  ENABLE_TLS: setting(flag(), 'false', 'true: the API uses HTTPS; the port of a worker remains plain HTTP.'),
  TLS_CERT_PATH: setting(
    text(),
    './certs/server.crt',
    'With ENABLE_TLS: the certificate (PEM), followed by its intermediate certificates.',
  ),
  TLS_KEY_PATH: setting(text(), './certs/server.key', 'With ENABLE_TLS: the private key of the certificate (PEM).'),
  TLS_CLIENT_CERTS: setting(
    oneOf(['off', 'optional', 'required']),
    'off',
    'With ENABLE_TLS: client certificates (mutual TLS). required: a client without a certificate gets no connection, not even for liveness checks.',
  ),
  TLS_CA_PATH: optional(
    text(),
    'With TLS_CLIENT_CERTS: the CA certificates (PEM) that client certificates are verified against.',
  ),
  TLS_CLIENTS: setting(
    certificateHolders(),
    '',
    'With TLS_CLIENT_CERTS: the callers that certificates represent, by a name in them, as {"CN:gateway": {"user": "gateway", "tenant": "default", "roles": ["editor"]}}.',
  ),
} as const satisfies Record<string, Variable>;
