/** Policy: an engine of the operator's decides before anything is stored. */
import type { Feature } from '../../feature.ts';

export const policy: Feature = { name: 'policy', api: async () => (await import('./api.ts')).api };
