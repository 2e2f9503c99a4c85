/** The settings of signed messages and of events: webhooks, callbacks, peers, approval links, the stream. */
import { list, secretList, tenantSecrets, text, urlList, whole } from '../types.ts';
import { optional, setting } from './setting.ts';

export const messages = {
  inboundWebhookSecrets: optional('INBOUND_WEBHOOK_SECRET', tenantSecrets(24, 16), {
    description:
      'Verifies the signatures (Standard Webhooks) of senders without credentials at POST /events: a list for the tenant default, or JSON of tenants, each with a list. All secrets of a list are accepted. With several tenants a request names its tenant by X-Tenant-ID or ?tenant_id=.',
    secret: true,
    inConfig: (secrets): ReadonlyMap<string, readonly string[]> => secrets ?? new Map(),
  }),
  webhookSecrets: setting('WEBHOOK_SECRET', list(), {
    default: '',
    description:
      'Signs the callbacks (Standard Webhooks); a list: there is one signature for each, so that receivers can learn a new secret before the old one is removed.',
    secret: true,
  }),
  peers: setting('PEERS', urlList(), {
    default: '',
    description: 'Base URLs of other installations to which registered services are replicated; a list.',
  }),
  peerSecrets: setting('PEER_SECRET', secretList(32), {
    default: '',
    description:
      'Signs the messages between peers; a list: the first one signs, all are accepted. Without it messages are not signed, which is rejected where authentication is configured.',
    secret: true,
  }),
  approvalLinkSecrets: setting('APPROVAL_LINK_SECRET', secretList(32), {
    default: '',
    description:
      'Signs the one-time links of approvals; a list: the first one signs, all are accepted. Must differ from the secret of the callbacks, which their receivers know. By default there are no links.',
    secret: true,
  }),
  eventsStream: {
    name: optional('EVENTS_STREAM', text(), {
      description:
        'A Redis stream that gets every event of every tenant, at least once; needs the queue in Redis. By default orchestrator:events with EVENT_STREAMING_ENABLED, else there is none.',
    }),
    maxLength: setting('EVENTS_STREAM_MAXLEN', whole(1), {
      default: '100000',
      description: 'Approximate maximum number of entries in that stream; the newest are retained.',
    }),
  },
};
