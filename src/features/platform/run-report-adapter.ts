/** `run_report`: how the tenant's newest executions ended, and what their events said. */
import { z } from 'zod';
import { defineAdapter, NonRetryableError } from '../../../workers/adapter.ts';

const counts = z.record(z.string(), z.int());

export const runReport = defineAdapter({
  type: 'run_report',
  description: 'Counts the newest executions of the tenant by severity, and their events by level.',
  usesEngine: true,
  idempotent: true,
  config: z.strictObject({
    limit: z.int().min(1).max(1_000).default(100).meta({ description: 'So many events, the newest' }),
    service: z.string().max(255).nullish().meta({ description: 'All events are of orchestrator' }),
    level: z.enum(['info', 'warn', 'error']).nullish(),
  }),
  output: z.object({
    summary: z.object({ total: z.int(), by_severity: counts }),
    log_analysis: z.object({
      overview: z.object({ count: z.int(), by_level: counts }),
      sample: z.array(z.object({ service: z.string(), level: z.string(), message: z.string() })),
    }),
  }),
  async run({ limit, service, level }, { engine }) {
    const platform = engine?.platform;
    if (platform === undefined) throw new NonRetryableError('executions are known to the engine, which is not here');
    const report = await platform.reportRuns({ limit, service: service ?? undefined, level: level ?? undefined });
    return { summary: { ...report.summary }, log_analysis: report.log_analysis };
  },
});
