/** Tracing: spans of executions and of their calls, exported by OTLP and kept to be looked at. */
import type { Feature } from '../../feature.ts';

export const tracing: Feature = { name: 'tracing', api: async () => (await import('./api.ts')).api };
