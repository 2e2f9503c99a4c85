/** `replay_events`: sends events of the past once more. `POST /infrastructure/events/replay` starts it. */
import { z } from 'zod';
import { assertOk, defineAdapter } from '../../../workers/adapter.ts';
import { replayTarget } from './replay.ts';

const MAX_EVENTS = 10_000;
const CALL_MS = 10_000;

export const replayEvents = defineAdapter({
  type: 'replay_events',
  description: 'Tells a webhook, a Redis stream or a workflow once more of events, in the order given.',
  config: z.strictObject({
    events: z
      .array(
        z.strictObject({
          event_id: z
            .string()
            .regex(/^\d{1,18}$/, 'must be the id of an event')
            .meta({ examples: ['4711'] }),
          execution_id: z
            .string()
            .max(255)
            .nullable()
            .meta({ description: 'null: the event does not concern a single execution' }),
        }),
      )
      .min(1)
      .max(MAX_EVENTS),
    target: replayTarget,
  }),
  output: z.object({ replayed: z.int().min(0).meta({ description: 'Those that there still were' }) }),
  usesEngine: true,
  async run({ events, target }, { engine, fetch, progress, signal }) {
    if (engine?.replay === undefined) throw new Error('the log of events is the engine’s own, and it is not here');
    const replayed = await engine.replay({
      positions: events.map(({ event_id: id, execution_id: runId }) => ({ id, runId })),
      target,
      signal,
      onProgress: progress,
      async post(url, headers, body) {
        const late = AbortSignal.timeout(CALL_MS);
        assertOk(await fetch(url, { method: 'POST', headers, body, signal: late }), 'the webhook');
      },
    });
    return { replayed };
  },
});
