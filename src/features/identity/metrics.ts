/** What the identity service said of tokens, and how often it said nothing. */
import { Counter, type Registry } from 'prom-client';
import type { Verified } from './verify-tokens.ts';

export function countVerifications(): { count(result: Verified): void; register(registry: Registry): void } {
  let counter: Counter<'result'> | undefined;
  return {
    count: (result) => counter?.inc({ result }),
    register(registry) {
      counter = new Counter({
        name: 'orchestrator_identity_verifications_total',
        help: 'Answers of the identity service about bearer tokens; unavailable: there was none',
        labelNames: ['result'],
        registers: [registry],
      });
    },
  };
}
