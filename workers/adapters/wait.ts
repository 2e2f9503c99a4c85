/** `wait`: delays the run for a while or until a time, without occupying a worker. */
import { z } from 'zod';
import { defineAdapter } from '../adapter.ts';

const MAX_SECONDS = 366 * 24 * 3_600;

export const wait = defineAdapter({
  type: 'wait',
  description: 'Goes on after some seconds or at a time. No worker is held meanwhile, and a restart does not matter.',
  idempotent: true,
  config: z
    .strictObject({
      seconds: z
        .number()
        .min(0)
        .max(MAX_SECONDS)
        .optional()
        .meta({ examples: [60] }),
      until: z.iso
        .datetime({ offset: true })
        .optional()
        .meta({ examples: ['2031-01-01T08:00:00Z'] }),
    })
    .refine(({ seconds, until }) => (seconds === undefined) !== (until === undefined), {
      error: 'either seconds or until is required',
      path: ['seconds'],
    }),
  output: z.object({ waited_until: z.iso.datetime() }),
  async run({ seconds, until }, { wakeAt, sleepUntil, now }) {
    // A later delivery goes by the time the first one chose, or the wait would start anew.
    const end = wakeAt ?? (until === undefined ? new Date(now().getTime() + (seconds ?? 0) * 1000) : new Date(until));
    await sleepUntil(end);
    return { waited_until: end.toISOString() };
  },
});
