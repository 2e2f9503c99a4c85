/** Which instance of a service is called next. */
import type { InstanceHealth, LoadBalancing } from './domain.ts';

export interface Choosable {
  instanceId: string;
  weight: number;
  expired: boolean;
  health: InstanceHealth;
}

export interface Candidate {
  id: string;
  weight: number;
  /** Calls under way. */
  outstanding: number;
}

/** What is not expired, and of that what is not unhealthy, while there is any. `may`: what else stands in the way. */
export function callable<T extends Choosable>(instances: readonly T[], may: (instance: T) => boolean): T[] {
  const left = instances.filter((instance) => !instance.expired && may(instance));
  const fit = left.filter(({ health }) => health !== 'unhealthy');
  return fit.length > 0 ? fit : left;
}

/**
 * One of at least one candidate. `credit`: the credit of each, as the choice before left it; the new one is returned.
 * Round robin is smooth: with weights 2 and 1 it is a, b, a and not a, a, b. Least outstanding counts calls under way by
 * weight, and round robin among equals.
 */
export function chooseInstance(
  policy: LoadBalancing,
  candidates: readonly [Candidate, ...Candidate[]],
  credit: ReadonlyMap<string, number>,
): { id: string; credit: Map<string, number> } {
  const load = (candidate: Candidate) => (candidate.outstanding + 1) / candidate.weight;
  const least = Math.min(...candidates.map(load));
  const equals: readonly Candidate[] =
    policy === 'round_robin' ? candidates : candidates.filter((candidate) => load(candidate) === least);
  const credits = new Map(
    equals.map((candidate) => [candidate.id, (credit.get(candidate.id) ?? 0) + candidate.weight]),
  );
  const total = equals.reduce((sum, candidate) => sum + candidate.weight, 0);
  let chosen = candidates[0].id;
  let most = Number.NEGATIVE_INFINITY;
  for (const [id, value] of credits) {
    if (value <= most) continue;
    most = value;
    chosen = id;
  }
  credits.set(chosen, most - total);
  return { id: chosen, credit: credits };
}
