/** The variables that say who may come in, and how they show who they are. */
import { ROLES } from '../domain/access.ts';
import { certificateHolders, flag, list, listOf, oneOf, secretList, text, url, whole } from './types.ts';
import { optional, setting, type Variable } from './variable.ts';

export const ACCESS_VARIABLES = {
  AUTH_MODE: setting(
    oneOf(['auto', 'none']),
    'auto',
    'none: while no authentication is configured, anybody who reaches the port may use it. auto: then only this machine may reach it.',
  ),
  AUTH_REQUIRED: setting(flag(), 'false', 'true: refuse to start while no credentials are configured.'),
  API_KEY: setting(list(), '', 'The keys that clients present as X-API-Key or bearer token; a list.', { secret: true }),
  JWT_SECRET: setting(
    secretList(32),
    '',
    'Checks bearer tokens that are signed with HS256; a list: all are accepted, so that one can be replaced by another.',
    { secret: true },
  ),
  JWKS_URL: optional(
    url(['http', 'https']),
    'The public keys of the identity provider whose bearer tokens are taken (RS, PS, ES, EdDSA); needs JWT_ISSUER and JWT_AUDIENCE.',
    { secret: 'credentials' },
  ),
  JWT_ISSUER: setting(list(), '', 'Who may have issued a token (`iss`); a list. Left out: anybody who has JWT_SECRET.'),
  JWT_AUDIENCE: setting(list(), '', 'For whom a token may be (`aud`); a list. Left out: for anybody.'),
  JWT_CLOCK_TOLERANCE_SECONDS: setting(
    whole(0, 300),
    '30',
    "How far the clock of the issuer and this service's may be apart.",
  ),
  JWT_TENANT_CLAIM: setting(text(), 'tenant_id', 'The claim that names the tenant; dots lead into objects.'),
  JWT_ROLES_CLAIM: setting(
    text(),
    'roles',
    'The claim that names the roles, as realm_access.roles; dots lead into objects. Roles that are not ours count for nothing.',
  ),
  JWT_DEFAULT_TENANT: optional(text(), 'The tenant of tokens that name none. Left out: they are refused.'),
  JWT_DEFAULT_ROLES: setting(
    listOf(ROLES),
    'viewer',
    'The roles of tokens that say nothing of roles; a list of viewer, operator, editor, admin, worker.',
  ),
  OIDC_ISSUER: optional(
    url(['http', 'https']),
    'The OpenID provider that people log in at with a browser (Bull Board, the docs); needs OIDC_CLIENT_ID, PUBLIC_URL and SESSION_SECRET.',
  ),
  OIDC_CLIENT_ID: optional(text(), 'As whom this service is known to the provider.'),
  OIDC_CLIENT_SECRET: optional(text(), 'Its secret there. Left out: it is a public client, with PKCE alone.', {
    secret: true,
  }),
  OIDC_SCOPES: setting(list(), 'openid,profile', 'What is asked for at a login; a list, openid among it.'),
  OIDC_TENANT_CLAIM: optional(text(), 'As JWT_TENANT_CLAIM, in the ID token of a login. Left out: that one.'),
  OIDC_ROLES_CLAIM: optional(text(), 'As JWT_ROLES_CLAIM, in the ID token of a login. Left out: that one.'),
  SESSION_SECRET: setting(
    secretList(32),
    '',
    'Encrypts the sessions of browsers, the same for all API processes; a list: the first is used, all are accepted, so that one can be replaced by another. Without the one that it was made with a session is over.',
    { secret: true },
  ),
  SESSION_HOURS: setting(whole(1, 720), '8', 'How long a session of a browser lasts.'),
  TRUSTED_CALLERS: setting(
    list(),
    '',
    'Whose X-User-ID and X-Tenant-ID are believed although authentication is configured, such as a gateway: api_key:<name>, jwt:<issuer>|<tenant>|<sub> or certificate:<user>; a list. jwt:<sub> alone is that of the one JWT_ISSUER, in the tenant default.',
  ),
  METRICS_TOKEN: setting(
    secretList(16),
    '',
    'Bearer tokens that open /metrics of the API and of workers, and nothing else; a list.',
    { secret: true },
  ),
  ENABLE_TLS: setting(flag(), 'false', "true: the API speaks HTTPS; a worker's port stays plain."),
  TLS_CERT_PATH: setting(
    text(),
    './certs/server.crt',
    'With ENABLE_TLS: the certificate (PEM), with those that vouch for it behind it.',
  ),
  TLS_KEY_PATH: setting(text(), './certs/server.key', 'With ENABLE_TLS: the private key of the certificate (PEM).'),
  TLS_CLIENT_CERTS: setting(
    oneOf(['off', 'optional', 'required']),
    'off',
    'With ENABLE_TLS: whether clients show certificates (mutual TLS). required: who has none gets no connection, liveness included.',
  ),
  TLS_CA_PATH: optional(
    text(),
    'With TLS_CLIENT_CERTS: the certificates (PEM) of those who vouch for the certificates of clients.',
  ),
  TLS_CLIENTS: setting(
    certificateHolders(),
    '',
    'With TLS_CLIENT_CERTS: whom certificates stand for, by a name in them, as {"CN:gateway": {"user": "gateway", "tenant": "default", "roles": ["editor"]}}.',
  ),
} as const satisfies Record<string, Variable>;
