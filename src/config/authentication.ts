/** Authentication as the settings describe it, and what of it would be unsafe. */
import { oidcFaults, oidcOf } from './oidc.ts';
import type { Label } from './read-settings.ts';
import type { Settings } from './settings/all.ts';

export function authenticationOf(settings: Settings) {
  const { authentication, tls } = settings;
  const { jwt, trustedCallers, metricsTokens } = authentication;
  const none: typeof tls.clients = new Map();
  return {
    required: requiresCredentials(settings),
    jwt: acceptsTokens(settings) ? jwt : undefined,
    oidc: oidcOf(settings),
    /** The callers that certificates represent, by a name in them, `CN:…`. */
    certificates: tls.clientCerts === 'off' ? none : tls.clients,
    trustedCallers: trustedCallers.map((caller) => fullCallerName(caller, jwt.issuers) ?? caller),
    metricsTokens,
  };
}

export function requiresCredentials(settings: Settings): boolean {
  const { apiKeys, authentication, tls } = settings;
  const byCertificate = tls.clientCerts !== 'off' && tls.clients.size > 0;
  const byService = authentication.oidc.issuer !== undefined || settings.identity.url !== undefined;
  return byCertificate || acceptsTokens(settings) || apiKeys.length > 0 || byService;
}

function acceptsTokens({ authentication: { jwt } }: Settings): boolean {
  return jwt.secrets.length > 0 || jwt.jwksUrl !== undefined;
}

export function authenticationFaults(settings: Settings, host: string, label: Label): string[] {
  const faults: string[] = [];
  const required = requiresCredentials(settings);
  const { jwt, trustedCallers } = settings.authentication;
  if (jwt.jwksUrl !== undefined && (jwt.issuers.length === 0 || jwt.audiences.length === 0)) {
    faults.push(
      `${label('JWKS_URL')} is set and JWT_ISSUER or JWT_AUDIENCE is not: tokens that the provider made for others would be taken.`,
    );
  }
  if (settings.authRequired && !required) {
    faults.push('AUTH_REQUIRED is true and none of API_KEY, JWT_SECRET, JWKS_URL and IDENTITY_SERVICE_URL is set.');
  }
  if (!isLoopback(host) && !required && settings.authMode !== 'none') {
    faults.push(
      `${label('HOST')} is ${host}, which others can reach, and no authentication is configured: set API_KEY, JWT_SECRET, JWKS_URL or IDENTITY_SERVICE_URL, or AUTH_MODE=none to let everybody in.`,
    );
  }
  faults.push(...certificateFaults(settings.tls, label), ...oidcFaults(settings, label));
  for (const caller of trustedCallers) {
    if (!/^(api_key|jwt|certificate):./.test(caller)) {
      faults.push(
        `${label('TRUSTED_CALLERS')} must name each as api_key:<name>, jwt:<issuer>|<tenant>|<sub> or certificate:<user>.`,
      );
      break;
    }
    if (fullCallerName(caller, jwt.issuers) !== undefined) continue;
    faults.push(
      `${label('TRUSTED_CALLERS')} has ${caller}: with ${jwt.issuers.length} issuers in JWT_ISSUER it does not say whose token that is; name it as jwt:<issuer>|<tenant>|<sub>.`,
    );
    break;
  }
  return faults;
}

/** A subject alone belongs to the single issuer, in the tenant `default`. Undefined: its issuer is ambiguous. */
function fullCallerName(caller: string, issuers: readonly string[]): string | undefined {
  if (!caller.startsWith('jwt:') || /^jwt:[^|]*\|[^|]+\|./.test(caller)) return caller;
  const [issuer] = issuers;
  return issuers.length === 1 ? `jwt:${issuer}|default|${caller.slice('jwt:'.length)}` : undefined;
}

function certificateFaults(tls: Settings['tls'], label: Label): string[] {
  const mode = tls.clientCerts;
  if (mode === 'off') {
    if (tls.clients.size === 0) return [];
    return [
      `${label('TLS_CLIENTS')} says whom certificates stand for, and TLS_CLIENT_CERTS is off: nobody is asked for one.`,
    ];
  }
  const faults: string[] = [];
  const requested = `${label('TLS_CLIENT_CERTS')} is ${mode}`;
  if (!tls.enabled) faults.push(`${requested} and ENABLE_TLS is not true: without TLS there are no certificates.`);
  if (tls.caPath === undefined)
    faults.push(`${requested} and TLS_CA_PATH is not set: nobody vouches for certificates.`);
  if (mode === 'optional' && tls.clients.size === 0) {
    faults.push(`${requested} and TLS_CLIENTS is not set: a certificate would stand for nobody.`);
  }
  return faults;
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
