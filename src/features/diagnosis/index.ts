/** Diagnosis: why an execution does not go on, what is wrong with the system, and how everything stands that it needs. */
import type { Feature } from '../../feature.ts';

export const diagnosis: Feature = { name: 'diagnosis', api: async () => (await import('./api.ts')).api };
