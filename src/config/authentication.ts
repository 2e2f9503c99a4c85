/** What the settings say of who may come in, and what of it would be unsafe. */
import type { Role } from '../domain/access.ts';
import { type OidcConfig, oidcFaults, readOidc } from './oidc.ts';
import type { Values } from './read-settings.ts';

export interface AuthenticationConfig {
  /** Whether credentials are asked for at all. */
  required: boolean;
  jwt: JwtConfig | undefined;
  /** Undefined: browsers cannot log in. */
  oidc: OidcConfig | undefined;
  /** By a name in them, `CN:…`. */
  certificates: ReadonlyMap<string, CertificateHolder>;
  trustedCallers: readonly string[];
  metricsTokens: readonly string[];
}

/** Whom a certificate stands for. */
export interface CertificateHolder {
  user: string;
  tenant: string;
  roles: readonly Role[];
}

export interface JwtConfig {
  secrets: readonly string[];
  jwksUrl: string | undefined;
  issuers: readonly string[];
  audiences: readonly string[];
  toleranceSeconds: number;
  tenantClaim: string;
  rolesClaim: string;
  defaultTenant: string | undefined;
  defaultRoles: readonly Role[];
}

export function readAuthentication(values: Values): AuthenticationConfig {
  const tokens = values.JWT_SECRET.length > 0 || values.JWKS_URL !== undefined;
  return {
    required: asksForCredentials(values),
    jwt: tokens
      ? {
          secrets: values.JWT_SECRET,
          jwksUrl: values.JWKS_URL,
          issuers: values.JWT_ISSUER,
          audiences: values.JWT_AUDIENCE,
          toleranceSeconds: values.JWT_CLOCK_TOLERANCE_SECONDS,
          tenantClaim: values.JWT_TENANT_CLAIM,
          rolesClaim: values.JWT_ROLES_CLAIM,
          defaultTenant: values.JWT_DEFAULT_TENANT,
          defaultRoles: values.JWT_DEFAULT_ROLES,
        }
      : undefined,
    oidc: readOidc(values),
    certificates: values.TLS_CLIENT_CERTS === 'off' ? new Map() : values.TLS_CLIENTS,
    trustedCallers: values.TRUSTED_CALLERS.map((one) => wholeCaller(one, values) ?? one),
    metricsTokens: values.METRICS_TOKEN,
  };
}

export function asksForCredentials(values: Values): boolean {
  const byCertificate = values.TLS_CLIENT_CERTS !== 'off' && values.TLS_CLIENTS.size > 0;
  const byToken = values.JWT_SECRET.length > 0 || values.JWKS_URL !== undefined;
  return byCertificate || byToken || values.API_KEY.length > 0 || values.OIDC_ISSUER !== undefined;
}

/** `label` says under which name a setting was found. */
export function authenticationFaults(values: Values, host: string, label: (name: string) => string): string[] {
  const faults: string[] = [];
  const required = asksForCredentials(values);
  if (values.IDENTITY_SERVICE_URL !== undefined) {
    faults.push(
      `${label('IDENTITY_SERVICE_URL')} asks for an identity service, which this version does not call: use JWT_SECRET, JWKS_URL or API_KEY instead.`,
    );
  }
  if (values.JWKS_URL !== undefined && (values.JWT_ISSUER.length === 0 || values.JWT_AUDIENCE.length === 0)) {
    faults.push(
      `${label('JWKS_URL')} is set and JWT_ISSUER or JWT_AUDIENCE is not: tokens that the provider made for others would be taken.`,
    );
  }
  if (values.AUTH_REQUIRED && !required) {
    faults.push('AUTH_REQUIRED is true and none of API_KEY, JWT_SECRET and JWKS_URL is set.');
  }
  if (!isLoopback(host) && !required && values.AUTH_MODE !== 'none') {
    faults.push(
      `${label('HOST')} is ${host}, which others can reach, and no authentication is configured: set API_KEY, JWT_SECRET or JWKS_URL, or AUTH_MODE=none to let everybody in.`,
    );
  }
  faults.push(...certificateFaults(values, label), ...oidcFaults(values, label));
  for (const one of values.TRUSTED_CALLERS) {
    if (!/^(api_key|jwt|certificate):./.test(one)) {
      faults.push(
        `${label('TRUSTED_CALLERS')} must name each as api_key:<name>, jwt:<issuer>|<tenant>|<sub> or certificate:<user>.`,
      );
      break;
    }
    if (wholeCaller(one, values) !== undefined) continue;
    faults.push(
      `${label('TRUSTED_CALLERS')} has ${one}: with ${values.JWT_ISSUER.length} issuers in JWT_ISSUER it does not say whose token that is; name it as jwt:<issuer>|<tenant>|<sub>.`,
    );
    break;
  }
  return faults;
}

/** A subject alone is that of the one issuer there is, in the tenant `default`; undefined: nobody can say whose it is. */
function wholeCaller(one: string, { JWT_ISSUER: issuers }: Pick<Values, 'JWT_ISSUER'>): string | undefined {
  if (!one.startsWith('jwt:') || /^jwt:[^|]*\|[^|]+\|./.test(one)) return one;
  const [issuer] = issuers;
  return issuers.length === 1 ? `jwt:${issuer}|default|${one.slice('jwt:'.length)}` : undefined;
}

function certificateFaults(values: Values, label: (name: string) => string): string[] {
  const mode = values.TLS_CLIENT_CERTS;
  if (mode === 'off') {
    if (values.TLS_CLIENTS.size === 0) return [];
    return [
      `${label('TLS_CLIENTS')} says whom certificates stand for, and TLS_CLIENT_CERTS is off: nobody is asked for one.`,
    ];
  }
  const faults: string[] = [];
  const asked = `${label('TLS_CLIENT_CERTS')} is ${mode}`;
  if (!values.ENABLE_TLS) faults.push(`${asked} and ENABLE_TLS is not true: without TLS there are no certificates.`);
  if (values.TLS_CA_PATH === undefined)
    faults.push(`${asked} and TLS_CA_PATH is not set: nobody vouches for certificates.`);
  if (mode === 'optional' && values.TLS_CLIENTS.size === 0) {
    faults.push(`${asked} and TLS_CLIENTS is not set: a certificate would stand for nobody.`);
  }
  return faults;
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
