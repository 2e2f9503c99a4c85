/** The switches that the older file calls `enterprise`: what holds while the settings that they name are not set. */
import { flag } from '../types.ts';
import { setting } from './setting.ts';

export const enterprise = {
  enterprise: {
    rateLimiting: setting('RATE_LIMITING_ENABLED', flag(), {
      default: 'false',
      description: 'true: RATE_LIMIT_PER_MINUTE is 600 unless it is set.',
    }),
    eventStreaming: setting('EVENT_STREAMING_ENABLED', flag(), {
      default: 'false',
      description: 'true: EVENTS_STREAM is orchestrator:events unless it is set; needs REDIS_URL.',
    }),
    serviceMesh: setting('SERVICE_MESH_ENABLED', flag(), {
      default: 'false',
      description:
        'true: no process starts unless every client needs a certificate (ENABLE_TLS=true, TLS_CLIENT_CERTS=required).',
    }),
  },
  circuitBreakers: setting('CIRCUIT_BREAKER_ENABLED', flag(), {
    default: 'true',
    description:
      'false: no circuit breaker opens, neither of a service nor of a host that receives webhooks and callbacks.',
  }),
};
