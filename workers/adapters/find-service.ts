/** `find_service`: which of several services there is, so that the actions after it can be told. */
import { z } from 'zod';
import { defineAdapter } from '../adapter.ts';

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
  }),
  output: z.object({ service: name.nullable() }),
  async run({ names }, { service }) {
    for (const wanted of names) {
      if ((await service(wanted)) !== undefined) return { service: wanted };
    }
    return { service: null };
  },
});
