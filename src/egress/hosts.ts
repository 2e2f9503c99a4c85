/**
 * Lists of hosts as configuration has them: `host`, `host:port`, an address, a network (`10.1.0.0/16`), or `*.domain` for
 * all that is below it.
 */
import ipaddr from 'ipaddr.js';
import { canonicalAddress, isAddress } from './addresses.ts';

export interface HostList {
  /** As the URL says it. */
  names(host: string, port: number): boolean;
  /** Where it leads. */
  hasAddress(address: string, port: number): boolean;
}

interface Network {
  range: [ipaddr.IPv4 | ipaddr.IPv6, number];
  /** Undefined: all. */
  port: number | undefined;
}

export function hostList(entries: readonly string[]): HostList {
  const networks = entries.flatMap((entry) => networkOf(entry) ?? []);
  const single = entries.filter((entry) => networkOf(entry) === undefined);
  const exact = new Set(single.map((entry) => sameSpelling(entry.toLowerCase())));
  const suffixes = [...exact].filter((entry) => entry.startsWith('*.')).map((entry) => entry.slice(1));
  const has = (host: string, port: number) => exact.has(host) || exact.has(`${host}:${port}`);
  const hasAddress = (address: string, port: number) => {
    const canonical = canonicalAddress(address);
    return has(canonical, port) || networks.some((network) => contains(network, canonical, port));
  };
  return {
    names: (host, port) =>
      isAddress(host) ? hasAddress(host, port) : has(host, port) || suffixes.some((suffix) => host.endsWith(suffix)),
    hasAddress,
  };
}

/** Undefined for an entry that is no network. */
function networkOf(entry: string): Network | undefined {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+\/\d+)\]|([^\]]+\/\d+))(?::(\d+))?$/.exec(entry) ?? [];
  const text = bracketed ?? plain ?? '';
  if (!ipaddr.isValidCIDR(text)) return undefined;
  return { range: ipaddr.parseCIDR(text), port: port === undefined ? undefined : Number(port) };
}

function contains({ range, port: only }: Network, address: string, port: number): boolean {
  const parsed = ipaddr.parse(address);
  return (only === undefined || only === port) && parsed.kind() === range[0].kind() && parsed.match(range);
}

/** An address has many spellings, and a list has one of them. */
function sameSpelling(entry: string): string {
  const [, bracketed = '', port = ''] = /^\[(.+)\](:\d+)?$/.exec(entry) ?? [];
  const host = bracketed === '' ? entry : bracketed;
  return isAddress(host) ? `${canonicalAddress(host)}${port}` : entry;
}
