/** What the policy engine decided, and how often it did not. */
import { Counter, type Registry } from 'prom-client';
import type { Decided } from './ask-policy.ts';

const NAME = 'orchestrator_policy_decisions_total';

/** Whoever asks the engine has one; in a registry all of them are one metric. */
export function countPolicyDecisions(): { count(result: Decided): void; register(registry: Registry): void } {
  let counter: Counter<'result'> | undefined;
  return {
    count: (result) => counter?.inc({ result }),
    register(registry) {
      // Registered under this name by nobody else.
      counter = registry.getSingleMetric(NAME) as Counter<'result'> | undefined;
      counter ??= new Counter({
        name: NAME,
        help: 'Decisions of the policy engine; unavailable: there was none; failed_open: there was none, and it was allowed',
        labelNames: ['result'],
        registers: [registry],
      });
    },
  };
}
