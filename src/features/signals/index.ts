/** Signals: messages to an execution that waits for them. */
import type { Feature } from '../../feature.ts';

export const signals: Feature = { name: 'signals', api: async () => (await import('./api.ts')).api };
