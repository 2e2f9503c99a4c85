/** `find_service`: which of several services there is, for the actions after it. */
import { z } from 'zod';
import { defineAdapter, NonRetryableError } from '../adapter.ts';

const name = z.string().min(1).max(255);

export const findService = defineAdapter({
  type: 'find_service',
  description: 'The first of several services that is known, registered or configured; null when none is.',
  idempotent: true,
  config: z.strictObject({
    names: z
      .array(name)
      .min(1)
      .max(20)
      .meta({ examples: [['github_agent', 'source_agent']] }),
    required: z.boolean().default(false).meta({ description: 'Fails when none is known' }),
  }),
  output: z.object({ service: name.nullable() }),
  async run({ names, required }, { service }) {
    for (const candidate of names) {
      if ((await service(candidate)) !== undefined) return { service: candidate };
    }
    if (!required) return { service: null };
    throw new NonRetryableError(`none of the services ${names.join(', ')} is known: register one of them`, {
      code: 'service_unknown',
    });
  },
});
