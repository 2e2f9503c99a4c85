/** Where an identity service is asked, and which roles its words are. */
import { ROLES, type Role } from '../../domain/access.ts';
import { endpointOf } from '../../domain/service-address.ts';

/** The URL of the service may be that of either endpoint. */
export function identityEndpoint(url: string, operation: 'verify' | 'issue'): URL {
  const base = new URL(url);
  base.pathname = base.pathname.replace(/\/tokens\/(?:verify|issue)\/*$/, '/tokens');
  return endpointOf(base.href, `/v1/tokens/${operation}`);
}

/** Where nothing is said of roles, capabilities that are named like them count. Others mean something elsewhere. */
export function rolesOf({
  roles,
  capabilities,
}: {
  roles: readonly string[] | undefined;
  capabilities: readonly string[];
}): Role[] {
  const words = roles ?? capabilities;
  return ROLES.filter((role) => words.includes(role));
}
