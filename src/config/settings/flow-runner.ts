/** The settings of flow runs. */
import { text, whole } from '../types.ts';
import { setting } from './setting.ts';

export const flowRunner = {
  flowRunner: {
    stateTtlSeconds: setting('REDIS_KEY_TTL', whole(1, 31_536_000), {
      default: '3600',
      description: 'Seconds for which Redis has the state of a flow run after its last change.',
    }),
    statePrefix: setting('STATE_KEY_PREFIX', text(), {
      default: '',
      description:
        'Before `run:<run_id>:state`, the key of that state. Several installations on one Redis need one each.',
    }),
  },
};
