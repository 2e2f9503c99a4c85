/** Lists of hosts as configuration has them: `host`, `host:port`, an address, or `*.domain` for all that is below it. */
import { canonicalAddress, isAddress } from './addresses.ts';

export interface HostList {
  /** As the URL says it. */
  names(host: string, port: number): boolean;
  /** Where it leads. */
  hasAddress(address: string, port: number): boolean;
}

export function hostList(entries: readonly string[]): HostList {
  const exact = new Set(entries.map((entry) => sameSpelling(entry.toLowerCase())));
  const suffixes = [...exact].filter((entry) => entry.startsWith('*.')).map((entry) => entry.slice(1));
  const has = (host: string, port: number) => exact.has(host) || exact.has(`${host}:${port}`);
  return {
    names: (host, port) => has(sameSpelling(host), port) || suffixes.some((suffix) => host.endsWith(suffix)),
    hasAddress: (address, port) => has(canonicalAddress(address), port),
  };
}

/** An address has many spellings, and a list has one of them. */
function sameSpelling(entry: string): string {
  const [, bracketed = '', port = ''] = /^\[(.+)\](:\d+)?$/.exec(entry) ?? [];
  const host = bracketed === '' ? entry : bracketed;
  return isAddress(host) ? `${canonicalAddress(host)}${port}` : entry;
}
