/** Names to addresses. Answers are cached for a moment, so that a burst of calls to one service is one lookup. */
import { lookup } from 'node:dns/promises';
import { EgressError } from './errors.ts';

export interface ResolvedAddress {
  address: string;
  family: 4 | 6;
}
export type Resolve = (host: string) => Promise<ResolvedAddress[]>;
/** As `dns.promises.lookup(host, {all: true})`. */
export type Lookup = (host: string) => Promise<Array<{ address: string; family: number }>>;

const CACHE_MS = 2_000;
const MAX_CACHED_NAMES = 1_000;

export const systemLookup: Lookup = (host) => lookup(host, { all: true, order: 'verbatim' });

export function createResolve(query: Lookup, now: () => number): Resolve {
  const cache = new Map<string, { until: number; answer: Promise<ResolvedAddress[]> }>();
  return (host) => {
    const cached = cache.get(host);
    if (cached !== undefined && cached.until > now()) return cached.answer;
    const answer = resolveOnce(query, host);
    if (cache.size >= MAX_CACHED_NAMES) cache.clear();
    const entry = { until: now() + CACHE_MS, answer };
    cache.set(host, entry);
    answer.catch(() => {
      if (cache.get(host) === entry) cache.delete(host);
    });
    return answer;
  };
}

async function resolveOnce(query: Lookup, host: string): Promise<ResolvedAddress[]> {
  let found: Array<{ address: string; family: number }>;
  try {
    found = await query(host);
  } catch (error) {
    throw new EgressError('unreachable', `the name ${host} could not be resolved`, { cause: error });
  }
  if (found.length === 0) throw new EgressError('unreachable', `the name ${host} has no address`);
  return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }));
}
