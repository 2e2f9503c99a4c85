/** The settings of tests. */
import { failpointRules, text } from '../types.ts';
import { setting } from './setting.ts';

export const environment = {
  nodeEnv: setting('NODE_ENV', text(), { default: 'production', description: 'test: failures may be injected.' }),
  failpoints: setting('FAILPOINTS', failpointRules(), {
    default: '',
    description: 'With NODE_ENV=test only: where a process fails on purpose, name:exit|stop|throw|sleep(ms)@n; a list.',
  }),
};
