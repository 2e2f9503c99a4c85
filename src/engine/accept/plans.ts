/** Plans by definition: versions are immutable, so a plan is made once per process and cached while it is in use. */
import { makePlan, type Plan } from '../../domain/graph/plan.ts';
import type { DefinitionRef } from '../../schemas/job.ts';
import type { Definitions } from '../ports/definitions.ts';

/** Together about as much as ten thousand actions each at worst; most definitions have a few. */
const MAX_CACHED_PLANS = 500;

export interface Plans {
  of(reference: DefinitionRef): Promise<Plan>;
}

export function createPlans(definitions: Definitions): Plans {
  const cache = new Map<string, Promise<Plan>>();
  return {
    of(reference) {
      const key = keyOf(reference);
      const cached = cache.get(key);
      const plan = cached ?? definitions.load(reference).then(makePlan);
      // Last used is last in the map; what fails to load is not cached.
      cache.delete(key);
      cache.set(key, plan);
      if (cached === undefined) {
        plan.catch(() => cache.delete(key));
        for (const oldest of cache.keys()) {
          if (cache.size <= MAX_CACHED_PLANS) break;
          cache.delete(oldest);
        }
      }
      return plan;
    },
  };
}

/** Called for every job, so it is a plain string. Only the last field may contain a space. */
function keyOf(of: DefinitionRef): string {
  return 'workflow_id' in of
    ? `workflow ${of.version} ${of.workflow_id}`
    : `inline ${of.max_attempts} ${of.timeout_seconds} ${of.initial_delay_seconds} ${of.multiplier} ${of.action_type}`;
}
