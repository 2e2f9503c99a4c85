/** The settings of the policy engine. */
import { flag, oneOf, url, whole } from '../types.ts';
import { optional, setting } from './setting.ts';

export const policy = {
  policy: {
    engineUrl: optional('POLICY_ENGINE_URL', url(['http', 'https']), {
      description:
        'The policy engine, which decides before anything is stored (POST /v1/evaluate). By default everything is allowed that roles allow.',
      secret: 'credentials',
    }),
    scope: setting('POLICY_SCOPE', oneOf(['sessions', 'all']), {
      default: 'sessions',
      description:
        'What the policy engine decides. sessions: the operations below /v1. all: every operation that changes something.',
    }),
    timeoutMs: setting('POLICY_TIMEOUT_MS', whole(1, 30_000), {
      default: '2000',
      description: 'How long the policy engine may take to decide, in milliseconds; then the request is 503.',
    }),
    failOpen: setting('POLICY_FAIL_OPEN', flag(), {
      default: 'false',
      description:
        'true: what the policy engine does not decide, because it is away or answers with something else, is allowed, audited and counted.',
    }),
    dialect: setting('POLICY_DIALECT', oneOf(['native', 'opa']), {
      default: 'native',
      description:
        'What the policy engine speaks: native, or the data API of Open Policy Agent (opa), where POLICY_ENGINE_URL may name the document, by default /v1/data/orchestrator.',
    }),
  },
};
