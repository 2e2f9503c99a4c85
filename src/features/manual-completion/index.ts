/** Manual completion: somebody skips an action, or completes it with an output. */
import type { Feature } from '../../feature.ts';

export const manualCompletion: Feature = { name: 'manual-completion', api: async () => (await import('./api.ts')).api };
