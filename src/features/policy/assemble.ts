/** The client of the policy engine, as the settings describe it. */
import type { Config } from '../../config/config.ts';
import type { Egress } from '../../egress/egress.ts';
import { basicAuthorization, postJson } from '../../egress/post-json.ts';
import { within } from '../../engine/deliver/time-limit.ts';
import type { Audit } from '../../engine/ports/audit.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import { createPolicy, type Decided, type PolicyClient } from './ask-policy.ts';
import { policyEndpoint, questionOf } from './domain.ts';

export interface PolicyClientInit {
  config: Pick<Config, 'policy'>;
  fetch: Egress['fetch'];
  log: Logger;
  /** Milliseconds of a clock that only goes on. */
  now(): number;
  /** Where it is written what was allowed without a decision. */
  audit: Pick<Audit, 'write'>;
  /** Called for each decision. */
  count?: ((result: Decided) => void) | undefined;
}

/** Undefined: there is no policy engine. */
export function createPolicyClient(init: PolicyClientInit): PolicyClient | undefined {
  const { engineUrl, dialect, failOpen, timeoutMs } = init.config.policy;
  if (engineUrl === undefined) return undefined;
  const url = policyEndpoint(dialect, engineUrl);
  const headers = basicAuthorization(engineUrl);
  return createPolicy({
    ...{ dialect, failOpen, audit: init.audit, log: init.log, elapsed: init.now },
    decided: init.count ?? (() => undefined),
    ask(request, signal) {
      const late = within(timeoutMs, ...(signal === undefined ? [] : [signal]));
      return postJson(init.fetch, { url, headers, body: questionOf(dialect, request), of: 'policy', signal: late });
    },
  });
}
