/** The settings of sessions. */
import { text, url, whole } from '../types.ts';
import { optional, setting } from './setting.ts';

export const sessions = {
  sessionTtlSeconds: setting('SESSION_TTL_SECONDS', whole(1, 2_592_000), {
    default: '3600',
    description: 'How long an open session (keep_open) waits for messages, from its start or its retry.',
  }),
  sessionTaskQueue: setting('TEMPORAL_TASK_QUEUE', text(), {
    default: 'somagent.session.workflows',
    description: 'The task queue that responses about sessions name, for older clients. Nothing depends on it.',
  }),
  memoryGatewayUrl: optional('MEMORY_GATEWAY_URL', url(['http', 'https']), {
    description: 'The memory gateway, which remembers the rounds of sessions; by default nothing is remembered.',
    secret: 'credentials',
  }),
};
