/** `list_services`: the names of services, for actions that do something with each of them. */
import { z } from 'zod';
import { defineAdapter, NonRetryableError } from '../../../workers/adapter.ts';

const name = z.string().min(1).max(255);
const MAX_NAMES = 2_000;

export const listServices = defineAdapter({
  type: 'list_services',
  description: 'The names of all services that are registered or configured, or of those that are asked for.',
  idempotent: true,
  usesEngine: true,
  config: z.strictObject({
    services: z
      .array(name)
      .max(MAX_NAMES)
      .optional()
      .meta({
        description: 'These, each once, whether they are known or not; left out or empty: all there are',
        examples: [['analysis_service']],
      }),
  }),
  output: z.object({ services: z.array(name) }),
  async run({ services = [] }, { engine }) {
    if (services.length > 0) return { services: [...new Set(services)] };
    if (engine?.apis === undefined) throw new NonRetryableError('this worker does not know the services');
    return { services: await engine.apis.names() };
  },
});
