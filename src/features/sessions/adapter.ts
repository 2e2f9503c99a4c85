/** `session_step`: one step of a session. Only the service's own workflows have what it works with. */
import { z } from 'zod';
import { anyJson, defineAdapter, NonRetryableError } from '../../../workers/adapter.ts';
import type { StepsOfSession } from './steps.ts';

declare module '../../../workers/adapter.ts' {
  interface EngineCapabilities {
    /** Of a run of the service's own workflows. */
    session?: StepsOfSession;
  }
}

export const sessionStep = defineAdapter({
  type: 'session_step',
  description:
    'One step of a session: token, completion, memory, audit, or a round for a message. Not for other workflows.',
  config: z.strictObject({
    step: z.enum(['token', 'completion', 'memory', 'audit', 'round', 'agent_token', 'agent_completion']),
    approval: anyJson.optional().meta({ description: 'What the actions before it gave' }),
    job: anyJson.optional(),
    token: anyJson.optional(),
    completion: anyJson.optional(),
  }),
  output: anyJson,
  usesEngine: true,
  async run({ step, ...given }, context) {
    const steps = context.engine?.session;
    if (steps === undefined) throw new NonRetryableError('only sessions have this step', { code: 'input_invalid' });
    return steps[step](context, given);
  },
});
