/** What the settings say of the provider that people log in at with their browsers. */
import type { Role } from '../domain/access.ts';
import type { Values } from './read-settings.ts';

export interface OidcConfig {
  issuer: string;
  clientId: string;
  /** Undefined: a public client. */
  clientSecret: string | undefined;
  scopes: string;
  tenantClaim: string;
  rolesClaim: string;
  defaultTenant: string | undefined;
  defaultRoles: readonly Role[];
  toleranceSeconds: number;
  sessionSecrets: readonly string[];
  sessionHours: number;
  publicUrl: string;
}

/** Undefined: nobody logs in, or not all that it takes is set. */
export function readOidc(values: Values): OidcConfig | undefined {
  const { OIDC_ISSUER: issuer, OIDC_CLIENT_ID: clientId, PUBLIC_URL: publicUrl } = values;
  if (issuer === undefined || clientId === undefined || publicUrl === undefined) return undefined;
  return {
    issuer,
    clientId,
    clientSecret: values.OIDC_CLIENT_SECRET,
    scopes: values.OIDC_SCOPES.join(' '),
    tenantClaim: values.OIDC_TENANT_CLAIM ?? values.JWT_TENANT_CLAIM,
    rolesClaim: values.OIDC_ROLES_CLAIM ?? values.JWT_ROLES_CLAIM,
    defaultTenant: values.JWT_DEFAULT_TENANT,
    defaultRoles: values.JWT_DEFAULT_ROLES,
    toleranceSeconds: values.JWT_CLOCK_TOLERANCE_SECONDS,
    sessionSecrets: values.SESSION_SECRET,
    sessionHours: values.SESSION_HOURS,
    publicUrl: publicUrl.replace(/\/+$/, ''),
  };
}

export function oidcFaults(values: Values, label: (name: string) => string): string[] {
  if (values.OIDC_ISSUER === undefined) {
    if (values.OIDC_CLIENT_ID === undefined) return [];
    return [`${label('OIDC_CLIENT_ID')} is set and OIDC_ISSUER is not: there is no provider to log in at.`];
  }
  const faults: string[] = [];
  const asked = `${label('OIDC_ISSUER')} is set and`;
  if (values.OIDC_CLIENT_ID === undefined) faults.push(`${asked} OIDC_CLIENT_ID is not.`);
  if (values.PUBLIC_URL === undefined) {
    faults.push(`${asked} PUBLIC_URL is not: the provider could not be told where browsers come back to.`);
  }
  if (values.SESSION_SECRET.length === 0) {
    faults.push(`${asked} SESSION_SECRET is not: sessions could not be told from forged ones.`);
  }
  if (!values.OIDC_SCOPES.includes('openid')) {
    faults.push(`${label('OIDC_SCOPES')} must have openid: without it the provider does not say who logs in.`);
  }
  return faults;
}
