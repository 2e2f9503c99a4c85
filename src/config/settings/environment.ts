/** The settings of tests, and those that are rejected because it would be unsafe to ignore them. */
import { failpointRules, text } from '../types.ts';
import { optional, setting } from './setting.ts';

export const environment = {
  nodeEnv: setting('NODE_ENV', text(), { default: 'production', description: 'test: failures may be injected.' }),
  failpoints: setting('FAILPOINTS', failpointRules(), {
    default: '',
    description: 'With NODE_ENV=test only: where a process fails on purpose, name:exit|stop|throw|sleep(ms)@n; a list.',
  }),
  unsupported: {
    identityServiceUrl: optional('IDENTITY_SERVICE_URL', text(), {
      description: 'Not supported yet: rejected at start.',
    }),
    policyEngineUrl: optional('POLICY_ENGINE_URL', text(), { description: 'Not supported yet: rejected at start.' }),
  },
};
