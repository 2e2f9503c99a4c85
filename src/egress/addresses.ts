/**
 * The class of an IP address. An address that carries an IPv4 address inside (mapped, NAT64, 6to4, SIIT) is
 * judged by the one inside, because that is where the packets may end; one of ISATAP by both.
 */
import ipaddr from 'ipaddr.js';

/** `refused` applies under every policy: metadata, link-local, multicast, unspecified, reserved. */
export type AddressClass = 'public' | 'private' | 'refused';

const METADATA = new Set(['100.100.100.200', '168.63.129.16', 'fd00:ec2::254', 'fd20:ce::254']);
/** For translators of one's own (RFC 8215). */
const LOCAL_NAT64 = ipaddr.IPv6.parseCIDR('64:ff9b:1::/48');
const METADATA_NAMES = new Set([
  'metadata',
  'metadata.google.internal',
  'metadata.goog',
  'metadata.azure.internal',
  'metadata.tencentyun.com',
  'instance-data',
  'instance-data.ec2.internal',
]);

export function isMetadataName(hostname: string): boolean {
  return METADATA_NAMES.has(hostname);
}

/** The host of a URL as names are compared: lower case, no trailing dots, no brackets. */
export function hostOf(url: URL): string {
  const host = url.hostname.toLowerCase();
  return host.startsWith('[') ? host.slice(1, -1) : host.replace(/\.+$/, '');
}

export function isAddress(host: string): boolean {
  return ipaddr.isValid(host);
}

/** The canonical spelling of an address: `::ffff:7f00:1` is `127.0.0.1`. Throws for what is not an address. */
export function canonicalAddress(address: string): string {
  return unwrap(address).toString();
}

export function isLoopback(address: string): boolean {
  return unwrap(address).range() === 'loopback';
}

export function isUnspecified(address: string): boolean {
  return unwrap(address).range() === 'unspecified';
}

export function classifyAddress(address: string): AddressClass {
  if (!ipaddr.isValid(withoutZone(address))) return 'refused';
  const inner = unwrap(address);
  const tunnelled = inner instanceof ipaddr.IPv6 ? isatapIn(inner) : undefined;
  const found = classOf(inner);
  return tunnelled === undefined ? found : stricter(found, classOf(tunnelled));
}

function classOf(inner: ipaddr.IPv4 | ipaddr.IPv6): AddressClass {
  if (METADATA.has(inner.toString())) return 'refused';
  switch (inner.range()) {
    case 'unicast':
      // Of IPv6 only 2000::/3 is assigned to be routed.
      return inner instanceof ipaddr.IPv6 && (inner.toByteArray()[0] ?? 0) >> 5 !== 1 ? 'refused' : 'public';
    case 'loopback':
    case 'private':
    case 'uniqueLocal':
    case 'carrierGradeNat':
      return 'private';
    default:
      return 'refused';
  }
}

function stricter(a: AddressClass, b: AddressClass): AddressClass {
  const order: AddressClass[] = ['public', 'private', 'refused'];
  return order[Math.max(order.indexOf(a), order.indexOf(b))] ?? 'refused';
}

/** The IPv4 address that a tunnel of ISATAP (RFC 5214) would lead to. */
function isatapIn(address: ipaddr.IPv6): ipaddr.IPv4 | undefined {
  const bytes = address.toByteArray();
  const [a = 0, b, c, d] = bytes.slice(8, 12);
  return (a & 0xfd) === 0 && b === 0 && c === 0x5e && d === 0xfe ? new ipaddr.IPv4(bytes.slice(12)) : undefined;
}

function withoutZone(address: string): string {
  return address.split('%', 1)[0] ?? '';
}

function unwrap(address: string): ipaddr.IPv4 | ipaddr.IPv6 {
  const parsed = ipaddr.parse(withoutZone(address));
  if (parsed instanceof ipaddr.IPv4) return parsed;
  const bytes = parsed.toByteArray();
  // Where the IPv4 address is in a prefix of one's own, nobody outside knows: it stays what it is, and is refused.
  if (parsed.match(LOCAL_NAT64)) return parsed;
  switch (parsed.range()) {
    case 'ipv4Mapped':
    case 'rfc6145':
    case 'rfc6052':
      return new ipaddr.IPv4(bytes.slice(12));
    case '6to4':
      return new ipaddr.IPv4(bytes.slice(2, 6));
    default:
      return parsed;
  }
}
