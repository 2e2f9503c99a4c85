/**
 * Where a request comes from. What `X-Forwarded-For` says is believed of proxies that the configuration trusts and of
 * nobody else: anybody can send that header.
 */
import ipaddr from 'ipaddr.js';

/** Networks (`10.0.0.0/8`), or a number: so many proxies are in front of us, whatever their addresses. */
export type TrustedProxies = number | readonly string[];

export type ClientAddress = (remote: string | undefined, forwarded: string | undefined) => string;

/** Answers `unknown` for a connection that is gone. */
export function clientAddress(trusted: TrustedProxies): ClientAddress {
  const isTrusted = typeof trusted === 'number' ? undefined : among(trusted);
  return (remote, forwarded) => {
    const hops = [...(forwarded ?? '').split(',').map((hop) => hop.trim()), remote ?? ''].filter((hop) => hop !== '');
    // From us outwards.
    hops.reverse();
    let at = 0;
    while (at < hops.length - 1 && (isTrusted?.(hops[at] ?? '') ?? at < Number(trusted))) at += 1;
    return hops[at] ?? 'unknown';
  };
}

/** Whether an untrusted peer sends the headers of a proxy. */
export function isUnbelieved(trusted: TrustedProxies): (remote: string, forwarded: string | undefined) => boolean {
  const isTrusted = typeof trusted === 'number' ? () => trusted > 0 : among(trusted);
  return (remote, forwarded) => forwarded !== undefined && forwarded.trim() !== '' && !isTrusted(remote);
}

/** In the usual notation: a socket for both families gives one of IPv4 as one of IPv6. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d)/, '');
}

/** One client: of IPv6 whoever has an address has all of its /64. What is no address stands for itself. */
export function clientOf(address: string): string {
  const bare = address.startsWith('[') ? address.slice(1).replace(/\].*$/, '') : (address.split('%', 1)[0] ?? '');
  if (!ipaddr.isValid(bare)) return address.slice(0, 64);
  const parsed = ipaddr.process(bare);
  if (parsed instanceof ipaddr.IPv4) return parsed.toString();
  return `${new ipaddr.IPv6([...parsed.parts.slice(0, 4), 0, 0, 0, 0]).toString()}/64`;
}

function among(trusted: readonly string[]): (address: string) => boolean {
  const networks = trusted.map((text) => ipaddr.parseCIDR(text));
  return (address) => {
    if (!ipaddr.isValid(address)) return false;
    const parsed = ipaddr.process(address);
    return networks.some(([network, bits]) => network.kind() === parsed.kind() && parsed.match(network, bits));
  };
}
