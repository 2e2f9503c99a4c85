/** History: what the executions of workflows did, and who changed which workflow when. */
import type { Feature } from '../../feature.ts';

export const history: Feature = { name: 'history', api: async () => (await import('./api.ts')).api };
