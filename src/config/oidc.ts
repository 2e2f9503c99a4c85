/** Browser logins as the settings describe them. */
import type { Label } from './read-settings.ts';
import type { Settings } from './settings/all.ts';

/** Undefined: browser logins are off, or a required setting is missing. */
export function oidcOf({ authentication: { jwt, oidc }, publicUrl }: Settings) {
  const { issuer, clientId } = oidc;
  if (issuer === undefined || clientId === undefined || publicUrl === undefined) return undefined;
  const { defaultTenant, defaultRoles, toleranceSeconds } = jwt;
  return {
    ...oidc,
    issuer,
    clientId,
    scopes: oidc.scopes.join(' '),
    tenantClaim: oidc.tenantClaim ?? jwt.tenantClaim,
    rolesClaim: oidc.rolesClaim ?? jwt.rolesClaim,
    defaultTenant,
    defaultRoles,
    toleranceSeconds,
    publicUrl,
  };
}

export function oidcFaults({ authentication: { oidc }, publicUrl }: Settings, label: Label): string[] {
  if (oidc.issuer === undefined) {
    if (oidc.clientId === undefined) return [];
    return [`${label('OIDC_CLIENT_ID')} is set and OIDC_ISSUER is not: there is no provider to log in at.`];
  }
  const faults: string[] = [];
  const beside = `${label('OIDC_ISSUER')} is set and`;
  if (oidc.clientId === undefined) faults.push(`${beside} OIDC_CLIENT_ID is not.`);
  if (publicUrl === undefined) {
    faults.push(`${beside} PUBLIC_URL is not: the provider could not be told where browsers come back to.`);
  }
  if (oidc.sessionSecrets.length === 0) {
    faults.push(`${beside} SESSION_SECRET is not: sessions could not be told from forged ones.`);
  }
  if (!oidc.scopes.includes('openid')) {
    faults.push(`${label('OIDC_SCOPES')} must have openid: without it the provider does not say who logs in.`);
  }
  return faults;
}
