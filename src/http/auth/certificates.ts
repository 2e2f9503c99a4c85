/**
 * Certificates of clients. TLS has checked that the configured authority vouches for one and that its time has not run
 * out; whom it stands for is said by the configuration alone, so that an authority that makes certificates for other
 * things too lets nobody in by them.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Access, Role } from '../../domain/access.ts';
import { carrierOf } from '../server/in-process.ts';
import type { Principal } from './principal.ts';

/** Whom certificates with a name stand for. */
export interface CertificateHolder {
  user: string;
  tenant: string;
  roles: readonly Role[];
}

/**
 * Undefined: there is no certificate. `unknown`: nobody vouches for it, or the configuration has none of its names. These are `URI:…` and `DNS:…` of the subject alternative
 * name and `CN:…` of the subject; of several that the configuration has the first in this order counts.
 */
export function holderOf(
  socket: Pick<Socket, 'destroyed'>,
  holders: ReadonlyMap<string, CertificateHolder>,
): Principal | 'unknown' | undefined {
  const carrier = carrierOf(socket);
  if (!(carrier instanceof TLSSocket)) return undefined;
  const certificate = carrier.getPeerX509Certificate();
  if (certificate === undefined) return undefined;
  if (!carrier.authorized) return 'unknown';
  for (const name of namesIn(certificate.subjectAltName, certificate.subject)) {
    const holder = holders.get(name);
    if (holder === undefined) continue;
    const credential = `${name}, serial ${certificate.serialNumber}`;
    const access: Access = { means: 'certificate', credential, roles: holder.roles, scopes: undefined };
    return { userId: holder.user, tenantId: holder.tenant, access };
  }
  return 'unknown';
}

const ALTERNATIVE = /(?:^|, )([\w .]+):(?:"((?:[^"\\]|\\.)*)"|([^,"]*))/y;

/**
 * As Node writes both: `URI:spiffe://a/b, DNS:c`, in quotes where a name has a comma of its own, and `C=DE\nCN=d`. Names of
 * every kind are read, one after the other, so that nothing within one passes for another; what is not understood ends it.
 */
export function namesIn(alternative: string | undefined, subject: string | undefined): string[] {
  const uris: string[] = [];
  const hosts: string[] = [];
  ALTERNATIVE.lastIndex = 0;
  for (let end = 0; end < (alternative ?? '').length; end = ALTERNATIVE.lastIndex) {
    const [, kind, quoted, plain = ''] = ALTERNATIVE.exec(alternative ?? '') ?? [];
    if (kind === undefined) return [];
    const name = quoted === undefined ? plain : quotedText(quoted);
    if (kind === 'URI') uris.push(`URI:${name}`);
    if (kind === 'DNS') hosts.push(`DNS:${name}`);
  }
  const common = (subject ?? '').split('\n').filter((line) => line.startsWith('CN='));
  // Which of several is meant nobody could say.
  return [...uris, ...hosts, ...(common.length === 1 ? common.map((line) => `CN:${line.slice(3)}`) : [])];
}

function quotedText(quoted: string): string {
  try {
    return String(JSON.parse(`"${quoted}"`));
  } catch {
    return '';
  }
}
