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
import { deniedTarget, deniedUrl } from './errors.ts';
import { type HostList, hostList } from './hosts.ts';
import type { Resolve, ResolvedAddress } from './resolve.ts';

/**
 * Where requests to hosts that are not registered as services may go. `registered`: public addresses; `internal`:
 * private ones and loopback too; `public-only`: public ones, and `allow` opens no private address; `none`: nowhere.
 */
export type EgressPolicy = 'registered' | 'internal' | 'public-only' | 'none';

/** The exceptions of one tenant. */
export interface TenantEgress {
  /** Instead of the policy of all. */
  policy?: EgressPolicy | undefined;
  /** Beside what all are allowed. */
  allow: readonly string[];
  /** Wins over everything, also over what is registered. */
  deny: readonly string[];
}

export interface GuardOptions {
  policy: EgressPolicy;
  /** Hosts allowed by configuration: `host`, `host:port`, `*.domain`, addresses and networks. */
  allow: readonly string[];
  tenants?: ReadonlyMap<string, TenantEgress>;
  /** Our own listeners and stores, read anew each time. Only what the configuration names opens one of them. */
  ownAddresses: ReadonlyArray<{ host: string; port: number }>;
  /** True for the origin of a configured service. Called only when the policy alone would deny. */
  isTrustedOrigin(url: URL): boolean | Promise<boolean>;
}

export interface Caller {
  /** The host comes from configuration; what a tenant has registered does not. */
  trusted: boolean;
  tenantId: string | undefined;
}

export interface Guard {
  /** The addresses to connect to, all of them checked. Throws an EgressError `denied` or `unreachable`. */
  admit(url: URL, caller: Caller): Promise<ResolvedAddress[]>;
}

interface Rules {
  policy: EgressPolicy;
  allow: HostList;
  deny: HostList;
}

export function createGuard(options: GuardOptions, resolve: Resolve): Guard {
  const forAll: Rules = { policy: options.policy, allow: hostList(options.allow), deny: hostList([]) };
  const rulesOf = new Map(
    [...(options.tenants ?? [])].map(([tenantId, { policy, allow, deny }]): [string, Rules] => [
      tenantId,
      { policy: policy ?? options.policy, allow: hostList([...options.allow, ...allow]), deny: hostList(deny) },
    ]),
  );

  async function admit(url: URL, { trusted, tenantId }: Caller): Promise<ResolvedAddress[]> {
    const rules = (tenantId === undefined ? undefined : rulesOf.get(tenantId)) ?? forAll;
    const { policy } = rules;
    const host = hostOf(url);
    const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
    if (url.protocol !== 'http:' && url.protocol !== 'https:') throw deniedUrl(url, 'scheme', 'only http and https');
    if (url.username !== '' || url.password !== '') {
      throw deniedUrl(url, 'user_information', 'no user information in the URL');
    }
    if (host === '' || isMetadataName(host)) throw deniedUrl(url, 'metadata_service', 'a metadata service');
    if (rules.deny.names(host, port)) throw deniedTarget(url, 'denied_to_tenant', policy);

    let cachedTrust: boolean | undefined = trusted || undefined;
    const isTrusted = async (): Promise<boolean> => (cachedTrust ??= await options.isTrustedOrigin(url));
    const allowed = rules.allow.names(host, port);
    // Checked before the name is resolved: a DNS lookup alone would already leak data.
    if (policy === 'none' && !allowed && !(await isTrusted())) throw deniedTarget(url, 'policy', policy);

    const addresses = isAddress(host) ? [literal(host)] : await resolve(host);
    const classes = addresses.map(({ address }) => classifyAddress(address));
    if (classes.includes('refused')) throw deniedTarget(url, 'reserved_address', policy);
    if (addresses.some(({ address }) => rules.deny.hasAddress(address, port))) {
      throw deniedTarget(url, 'denied_to_tenant', policy);
    }
    const open = addresses.every(({ address }, at) =>
      opens(policy, allowed || rules.allow.hasAddress(address, port), classes[at] ?? 'refused'),
    );
    const ours = await isOurs(host, port, addresses);
    if ((!open || ours) && !(await isTrusted())) throw deniedTarget(url, ours ? 'own_listener' : 'policy', policy);
    return addresses;
  }

  async function isOurs(host: string, port: number, addresses: ResolvedAddress[]): Promise<boolean> {
    for (const own of options.ownAddresses) {
      if (own.port !== port) continue;
      if (own.host.toLowerCase() === host) return true;
      const listeners = await ownAddressesOf(own.host);
      if (addresses.some(({ address }) => listeners.some((listener) => reaches(address, listener)))) return true;
    }
    return false;
  }

  async function ownAddressesOf(host: string): Promise<string[]> {
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

/**
 * Whether connecting to `address` may arrive at what listens on `listener`. A store that is configured by one address of this
 * machine usually listens on its others too.
 */
function reaches(address: string, listener: string): boolean {
  if (canonicalAddress(address) === canonicalAddress(listener)) return true;
  const local = localAddresses();
  const isHere = (text: string) => isLoopback(text) || isUnspecified(text) || local.has(canonicalAddress(text));
  return isHere(address) && isHere(listener);
}

function localAddresses(): Set<string> {
  const all = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  return new Set(all.map(({ address }) => canonicalAddress(address)));
}

function literal(address: string): ResolvedAddress {
  return { address, family: address.includes(':') ? 6 : 4 };
}
