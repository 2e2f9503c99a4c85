/** Decides where an outbound request may go and to which addresses it may connect. */
import { networkInterfaces } from 'node:os';
import {
  type AddressClass,
  canonicalAddress,
  classifyAddress,
  hostOf,
  isAddress,
  isLoopback,
  isMetadataName,
  isUnspecified,
} from './addresses.ts';
import { EgressError } from './errors.ts';
import type { Resolve, ResolvedAddress } from './resolve.ts';

/**
 * Where requests to hosts that are not registered as services may go. `registered`: public addresses; `internal`:
 * private ones and loopback too; `public-only`: public ones, and `allow` opens no private address; `none`: nowhere.
 */
export type EgressPolicy = 'registered' | 'internal' | 'public-only' | 'none';

export interface GuardOptions {
  policy: EgressPolicy;
  /** Hosts allowed by configuration: `host`, `host:port` or `*.domain`. */
  allow: readonly string[];
  /** Our own listeners and stores. Only a registered service opens one of them. */
  ownAddresses: ReadonlyArray<{ host: string; port: number }>;
  /** True for the origin of a registered or configured service. Asked only when the policy alone would refuse. */
  isTrustedOrigin(url: URL): boolean | Promise<boolean>;
}

export interface Guard {
  /** The addresses to connect to, all of them checked. Throws an EgressError `denied` or `unreachable`. */
  admit(url: URL, trusted: boolean): Promise<ResolvedAddress[]>;
}

export function createGuard(options: GuardOptions, resolve: Resolve): Guard {
  const isAllowed = allowList(options.allow);

  async function admit(url: URL, trusted: boolean): Promise<ResolvedAddress[]> {
    const host = hostOf(url);
    const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
    if (url.protocol !== 'http:' && url.protocol !== 'https:') throw denied(url, 'only http and https');
    if (url.username !== '' || url.password !== '') throw denied(url, 'no user information in the URL');
    if (host === '' || isMetadataName(host)) throw denied(url, 'a metadata service');

    let asked: boolean | undefined = trusted || undefined;
    const isTrusted = async (): Promise<boolean> => (asked ??= await options.isTrustedOrigin(url));
    const allowed = isAllowed(host, port);
    // Asked before the name is: a look-up alone would already carry data out.
    if (options.policy === 'none' && !allowed && !(await isTrusted())) throw denied(url, 'not a registered service');

    const addresses = isAddress(host) ? [literal(host)] : await resolve(host);
    const classes = addresses.map(({ address }) => classifyAddress(address));
    if (classes.includes('refused')) throw denied(url, 'an address that is always refused');
    const ordinary =
      classes.every((found) => opens(options.policy, allowed, found)) && !(await isOurs(host, port, addresses));
    if (!ordinary && !(await isTrusted())) throw denied(url, `the policy ${options.policy}`);
    return addresses;
  }

  async function isOurs(host: string, port: number, addresses: ResolvedAddress[]): Promise<boolean> {
    for (const own of options.ownAddresses) {
      if (own.port !== port) continue;
      if (own.host.toLowerCase() === host) return true;
      const places = await ownPlaces(own.host);
      if (addresses.some(({ address }) => places.some((place) => reaches(address, place)))) return true;
    }
    return false;
  }

  async function ownPlaces(host: string): Promise<string[]> {
    const bare = host.replace(/^\[|\]$/g, '');
    if (isAddress(bare)) return [bare];
    try {
      return (await resolve(bare)).map(({ address }) => address);
    } catch {
      return []; // A store whose name does not resolve cannot be reached by its address either.
    }
  }

  return { admit };
}

function opens(policy: EgressPolicy, allowed: boolean, found: AddressClass): boolean {
  switch (policy) {
    case 'internal':
      return true;
    case 'registered':
      return found === 'public' || allowed;
    case 'public-only':
      return found === 'public';
    case 'none':
      return allowed;
  }
}

/** Whether connecting to `address` arrives at what listens on `place`; a wildcard listens on all addresses we have. */
function reaches(address: string, place: string): boolean {
  if (canonicalAddress(address) === canonicalAddress(place)) return true;
  if (isLoopback(address)) return isLoopback(place) || isUnspecified(place);
  return isUnspecified(place) && localAddresses().has(canonicalAddress(address));
}

function localAddresses(): Set<string> {
  const all = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  return new Set(all.map(({ address }) => canonicalAddress(address)));
}

function allowList(entries: readonly string[]): (host: string, port: number) => boolean {
  const exact = new Set(entries.map((entry) => entry.toLowerCase()));
  const suffixes = [...exact].filter((entry) => entry.startsWith('*.')).map((entry) => entry.slice(1));
  return (host, port) =>
    exact.has(host) || exact.has(`${host}:${port}`) || suffixes.some((suffix) => host.endsWith(suffix));
}

function literal(address: string): ResolvedAddress {
  return { address, family: address.includes(':') ? 6 : 4 };
}

/** Names only what the caller wrote, never what it resolved to. */
function denied(url: URL, why: string): EgressError {
  return new EgressError('denied', `the outbound policy refuses ${url.protocol}//${url.host} (${why})`);
}
