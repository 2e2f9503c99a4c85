/** The settings of outbound calls: what actions may reach, and the systems that they call. */
import path from 'node:path';
import { decimal, hosts, oneOf, serviceFiles, tenantEgress, text, url, urlMap } from '../types.ts';
import { optional, setting } from './setting.ts';

export const outbound = {
  egressPolicy: optional('EGRESS_POLICY', oneOf(['internal', 'registered', 'public-only', 'none']), {
    description:
      'The outbound policy: which addresses actions may call. internal (including private ones), registered (public ones and the services below), public-only, none. By default internal on loopback without authentication, else registered.',
  }),
  egressAllow: setting('EGRESS_ALLOW', hosts(), {
    default: '',
    description:
      'Hosts that may be called, and be registered as services, even if the outbound policy would reject them (not with public-only), as host, host:port, *.domain, addresses or networks (10.1.0.0/16); a list.',
  }),
  egressTenants: setting('EGRESS_TENANTS', tenantEgress(), {
    default: '{}',
    description:
      'Exceptions for single tenants, as JSON: {"acme": {"policy": "none", "allow": ["api.example.com"], "deny": ["*.example.org"]}}. allow: in addition to EGRESS_ALLOW; deny takes precedence over everything else.',
  }),
  services: optional('SERVICES', urlMap(), {
    description: 'Services by name for service_call, as JSON; <NAME>_URL=http://… does the same for one.',
  }),
  serviceTls: setting('SERVICE_TLS', serviceFiles(), {
    default: '{}',
    description:
      'Certificates that are shown to services (mutual TLS), and the CA certificates that those are verified against, as JSON of PEM files by service: {"doc_store": {"ca_path": "certs/ca.crt", "cert_path": "certs/client.crt", "key_path": "certs/client.key"}}. policy, identity, memory and peers name what the service itself calls. The files are read again when they change.',
    inConfig: (services, folder) =>
      new Map(
        [...services].map(([name, files]) => [
          name,
          Object.fromEntries(Object.entries(files).map(([of, file]) => [of, path.resolve(folder, file)])),
        ]),
      ),
  }),
  checkIntervalSeconds: setting('HEALTH_CHECK_INTERVAL', decimal(1, 3_600), {
    default: '10',
    description:
      'Seconds between the health checks of a service that is registered with a health_check without interval_seconds.',
  }),
  adapterSettings: {
    ESC_URL: optional('ESC_URL', url(['http', 'https']), {
      description: 'The system that approve_batches calls; by default a simulation.',
    }),
    SMTP_URL: optional('SMTP_URL', url(['smtp', 'smtps']), {
      description: 'The mail server of the notification channel email.',
      secret: 'credentials',
    }),
    SMTP_FROM: optional('SMTP_FROM', text(), { description: 'The sender of these mails.' }),
    NOTIFICATION_EMAIL_TO: optional('NOTIFICATION_EMAIL_TO', text(), {
      description: 'The default recipients of these mails.',
    }),
    SLACK_WEBHOOK_URL: optional('SLACK_WEBHOOK_URL', url(['http', 'https']), {
      description: 'The URL of the notification channel slack.',
      secret: true,
    }),
    NOTIFICATION_WEBHOOK_URL: optional('NOTIFICATION_WEBHOOK_URL', url(['http', 'https']), {
      description: 'The URL of the notification channel webhook.',
      secret: true,
    }),
  },
};
