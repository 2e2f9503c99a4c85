/** Plans by definition: versions are immutable, so a plan is made once per process and kept while it is in use. */
import { makePlan, type Plan } from '../../domain/graph/plan.ts';
import type { DefinitionRef } from '../../schemas/job.ts';
import type { Definitions } from '../ports/definitions.ts';

/** Together about as much as ten thousand actions each at worst; most definitions have a few. */
const PLANS_KEPT = 500;

export interface Plans {
  of(reference: DefinitionRef): Promise<Plan>;
}

export function createPlans(definitions: Definitions): Plans {
  const kept = new Map<string, Promise<Plan>>();
  return {
    of(reference) {
      const key = keyOf(reference);
      const known = kept.get(key);
      const plan = known ?? definitions.load(reference).then(makePlan);
      // Last used is last in the map; what fails to load is not kept.
      kept.delete(key);
      kept.set(key, plan);
      if (known === undefined) {
        plan.catch(() => kept.delete(key));
        for (const oldest of kept.keys()) {
          if (kept.size <= PLANS_KEPT) break;
          kept.delete(oldest);
        }
      }
      return plan;
    },
  };
}

/** Asked for every job, so it is put together by hand. The last part may hold anything, the others hold no space. */
function keyOf(of: DefinitionRef): string {
  return 'workflow_id' in of
    ? `workflow ${of.version} ${of.workflow_id}`
    : `inline ${of.max_attempts} ${of.timeout_seconds} ${of.initial_delay_seconds} ${of.multiplier} ${of.action_type}`;
}
