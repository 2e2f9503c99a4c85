/** Names to addresses. Answers are kept for a moment, so that a burst of calls to one service is one look-up. */
import { lookup } from 'node:dns/promises';
import { EgressError } from './errors.ts';

export interface ResolvedAddress {
  address: string;
  family: 4 | 6;
}
export type Resolve = (host: string) => Promise<ResolvedAddress[]>;
/** As `dns.promises.lookup(host, {all: true})`. */
export type Lookup = (host: string) => Promise<Array<{ address: string; family: number }>>;

const KEPT_MS = 2_000;
const KEPT_NAMES = 1_000;

export const systemLookup: Lookup = (host) => lookup(host, { all: true, order: 'verbatim' });

export function createResolve(ask: Lookup, now: () => number): Resolve {
  const kept = new Map<string, { until: number; answer: Promise<ResolvedAddress[]> }>();
  return (host) => {
    const known = kept.get(host);
    if (known !== undefined && known.until > now()) return known.answer;
    const answer = resolveOnce(ask, host);
    if (kept.size >= KEPT_NAMES) kept.clear();
    const entry = { until: now() + KEPT_MS, answer };
    kept.set(host, entry);
    answer.catch(() => {
      if (kept.get(host) === entry) kept.delete(host);
    });
    return answer;
  };
}

async function resolveOnce(ask: Lookup, host: string): Promise<ResolvedAddress[]> {
  let found: Array<{ address: string; family: number }>;
  try {
    found = await ask(host);
  } catch (error) {
    throw new EgressError('unreachable', `the name ${host} could not be resolved`, { cause: error });
  }
  if (found.length === 0) throw new EgressError('unreachable', `the name ${host} has no address`);
  return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }));
}
