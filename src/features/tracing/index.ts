/** Tracing: spans of executions and of their calls, exported by OTLP and stored to be read. */
import type { Feature } from '../../feature.ts';

export const tracing: Feature = { name: 'tracing', api: async () => (await import('./api.ts')).api };
