/** `poll_openapi`: what changed in the OpenAPI documents of services; each service is an item of its own, tried by itself. */
import type { SystemWorkflow } from '../../domain/definition/system-workflow.ts';

/** The action whose items are the services. */
export const POLL_ACTION = 'poll';
export const POLL_TIMEOUT_SECONDS = 8;

export const pollOpenapi: SystemWorkflow = {
  name: 'poll_openapi',
  definition: {
    description: 'Fetches the OpenAPI documents of services, keeps the newest of each and tells what changed.',
    parameters: [
      { name: 'services', type: 'array', default: [], description: 'Names of services; empty: all there are' },
      { name: 'timeout_seconds', type: 'number', default: POLL_TIMEOUT_SECONDS, description: 'For each try' },
    ],
    actions: [
      { action_id: 'targets', action_type: 'list_services', config: { services: '{{services}}' } },
      {
        action_id: POLL_ACTION,
        action_type: 'poll_openapi',
        for_each: { items: '{{targets.services}}', max_parallel: 10, on_item_failure: 'continue' },
        config: { service: '{{item}}', timeout_seconds: '{{timeout_seconds}}' },
        retry: { max_attempts: 2, backoff: 'fixed', initial_delay_seconds: 0.5 },
      },
    ],
  },
};
