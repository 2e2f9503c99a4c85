/** The settings of the API: where it listens, and what it takes of its clients. */
import { list, moment, text, trustedProxies, url, whole } from '../types.ts';
import { optional, setting } from './setting.ts';

export const address = {
  port: setting('PORT', whole(0, 65_535), {
    default: '8000',
    description: 'The port of the API; 0: any free port.',
    aliases: ['FASTAPI_PORT', 'ORCHESTRATOR_SERVICE_PORT'],
  }),
  host: optional('HOST', text(), {
    description: 'The address to listen on. By default 127.0.0.1 while no authentication is configured, else 0.0.0.0.',
    aliases: ['FASTAPI_HOST', 'ORCHESTRATOR_SERVICE_HOST'],
  }),
  publicUrl: optional('PUBLIC_URL', url(['http', 'https']), {
    description: 'The URL at which clients reach the API, for the links in responses; by default links are paths.',
    inConfig: (base) => base?.replace(/\/+$/, ''),
  }),
};

export const build = {
  buildTime: optional('BUILD_TIME', moment(), {
    description: 'When this build was made; an image has it from its build. GET /info and GetInfo show it.',
  }),
  commitSha: optional('COMMIT_SHA', text(), {
    description: 'The commit that it was built from, likewise.',
  }),
};

export const requests = {
  corsOrigins: optional('CORS_ORIGINS', list(), {
    description:
      'Origins of browser pages that may call the API; a list. *: any; loopback: those served by this machine. By default * if authentication is configured (cookies are never sent along), else loopback.',
  }),
  trustProxy: setting('TRUST_PROXY', trustedProxies(), {
    default: '0',
    description:
      'Whose X-Forwarded-For is trusted: the number of proxies in front of the API, or a list of their addresses and networks (10.0.0.0/8), loopback, private. Only used for the limits below and the audit.',
  }),
  rateLimitPerMinute: optional('RATE_LIMIT_PER_MINUTE', whole(0, 10_000_000), {
    description:
      'Maximum number of requests per minute and client, identified by its credentials, or by its address where none are required; 0: no limit. By default 600 with RATE_LIMITING_ENABLED, else 0.',
  }),
  authFailuresPerMinute: setting('AUTH_FAILURES_PER_MINUTE', whole(0, 1_000_000), {
    default: '30',
    description:
      'After this many failed authentications from one address within a minute, further failures from that address get 429, while valid credentials are still accepted; 0: no limit.',
  }),
  maxConnections: setting('MAX_CONNECTIONS', whole(1, 1_000_000), {
    default: '10000',
    description: 'Maximum number of open connections of the API; further connections are closed immediately.',
  }),
  maxStreamsPerTenant: setting('MAX_STREAMS_PER_TENANT', whole(1, 1_000_000), {
    default: '500',
    description: 'Maximum number of event streams and task sockets that a tenant may have open at one API process.',
  }),
  bodyLimitBytes: setting('BODY_LIMIT_BYTES', whole(1_024), {
    default: '1048576',
    description: 'Maximum size of a request body.',
  }),
};
