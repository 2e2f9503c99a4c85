/**
 * Every variable: what it means, its default, its other names. `config.ts` makes its schema of this table, `.env.template` is
 * written from it. Each is also known as ORCHESTRATOR_<name>.
 */
import { ACCESS_VARIABLES } from './access-variables.ts';
import { TRACE_VARIABLES } from './trace-variables.ts';
import {
  decimal,
  failpointRules,
  flag,
  hosts,
  keyList,
  list,
  oneOf,
  rateLimits,
  secretList,
  tenantEgress,
  tenantSecrets,
  text,
  trustedProxies,
  url,
  urlList,
  urlMap,
  weights,
  whole,
} from './types.ts';
import { optional, setting, type Variable } from './variable.ts';

export const VARIABLES = {
  // Where it listens, who may come in.
  PORT: setting(whole(0, 65_535), '8000', 'The port of the API; 0: any free port.', {
    aliases: ['FASTAPI_PORT', 'ORCHESTRATOR_SERVICE_PORT'],
  }),
  HOST: optional(
    text(),
    'The address to listen on. By default 127.0.0.1 while no authentication is configured, else 0.0.0.0.',
    {
      aliases: ['FASTAPI_HOST', 'ORCHESTRATOR_SERVICE_HOST'],
    },
  ),
  PUBLIC_URL: optional(
    url(['http', 'https']),
    'The URL at which clients reach the API, for the links in responses; by default links are paths.',
  ),
  ...ACCESS_VARIABLES,
  CORS_ORIGINS: optional(
    list(),
    'Origins of browser pages that may call the API; a list. *: any; loopback: those served by this machine. By default * if authentication is configured (cookies are never sent along), else loopback.',
  ),
  TRUST_PROXY: setting(
    trustedProxies(),
    '0',
    'Whose X-Forwarded-For is trusted: the number of proxies in front of the API, or a list of their addresses and networks (10.0.0.0/8), loopback, private. Only used for the limits below and the audit.',
  ),
  RATE_LIMIT_PER_MINUTE: setting(
    whole(0, 10_000_000),
    '0',
    'Maximum number of requests per minute and client, identified by its credentials, or by its address where none are required; 0: no limit.',
  ),
  AUTH_FAILURES_PER_MINUTE: setting(
    whole(0, 1_000_000),
    '30',
    'After this many failed authentications from one address within a minute, further failures from that address get 429, while valid credentials are still accepted; 0: no limit.',
  ),
  MAX_CONNECTIONS: setting(
    whole(1, 1_000_000),
    '10000',
    'Maximum number of open connections of the API; further connections are closed immediately.',
  ),
  MAX_STREAMS_PER_TENANT: setting(
    whole(1, 1_000_000),
    '500',
    'Maximum number of event streams and task sockets that a tenant may have open at one API process.',
  ),
  BODY_LIMIT_BYTES: setting(whole(1_024), '1048576', 'Maximum size of a request body.'),

  // The stores.
  DATABASE_URL: optional(
    url(['postgresql', 'postgres']),
    'The PostgreSQL database. By default `npm start` runs its own server in DATA_DIR.',
    { secret: 'credentials' },
  ),
  DATABASE_POOL_SIZE: setting(
    whole(1, 1_000),
    '10',
    'Connections to PostgreSQL per process. An API process has up to as many again for operations that are limited to one tenant.',
  ),
  ROW_LEVEL_SECURITY: setting(
    oneOf(['auto', 'required', 'off']),
    'auto',
    'Row-level security as an additional tenant isolation in the database. auto: if its role could be created; required: an API process does not start without it; off: never (behind a pooler in transaction mode).',
  ),
  REDIS_URL: optional(url(['redis', 'rediss']), 'The Redis of the queue. By default the queue is in PostgreSQL too.', {
    secret: 'credentials',
  }),
  REDIS_HOST: optional(text(), 'The host, instead of REDIS_URL.'),
  REDIS_PORT: setting(whole(1, 65_535), '6379', 'The port, with REDIS_HOST.'),
  QUEUE_PREFIX: setting(text(), '{orch-0}', 'Prefix of the queue keys; the same for all processes that work together.'),
  DATA_DIR: setting(text(), './data', 'Data directory of the PostgreSQL server that `npm start` runs.'),

  // The workers.
  WORKER_LANES: setting(list(), 'all', 'The action types that a worker serves; a list, or all.'),
  WORKER_CONCURRENCY: setting(whole(1, 10_000), '50', 'Maximum number of concurrent tasks of one lane in a worker.'),
  WORKER_PORT: setting(whole(0, 65_535), '9090', 'The port of a worker for /health and /metrics; 0: any free port.', {
    aliases: ['ORCHESTRATOR_METRICS_PORT', 'METRICS_PORT'],
  }),
  EXPRESSION_THREADS: setting(
    whole(1, 64),
    '2',
    'Number of threads of an API or worker process that evaluate expressions and check definitions, parameters and payloads; tenants get a fair share of them.',
  ),
  ISOLATED_PROCESSES: setting(
    whole(1, 1_000),
    '4',
    'Maximum number of concurrent tasks that a worker runs in separate processes: those of isolated adapters, and those suspected of crashing workers.',
  ),
  ISOLATED_MEMORY_MB: setting(whole(32), '512', 'Heap limit of such a process.'),
  BLOCKED_SECONDS: setting(
    whole(0, 86_400),
    '60',
    'A process whose event loop is blocked for this long exits, to be restarted; 0: never.',
  ),
  DEAF_SECONDS: setting(
    whole(1, 3_600),
    '30',
    'An unresponsive worker, which takes no jobs for this long although jobs are waiting and it has capacity, reconnects, and exits if that does not help within the same time.',
  ),
  SHUTDOWN_GRACE_SECONDS: setting(whole(0, 3_600), '30', 'Grace period for running tasks after SIGTERM.'),
  MAX_OUTPUT_BYTES: setting(whole(1_024), '1048576', 'Maximum size of the output of an action.'),
  MAX_RETRY_ATTEMPTS: setting(whole(0, 1_000), '3', 'Default number of retries of an action after its first attempt.'),
  RETRY_BACKOFF_BASE: setting(
    decimal(1, 100),
    '2',
    'Default base of the exponential backoff of an action: the n-th delay is the n-th power of it in seconds (2, 4, 8).',
  ),
  TASK_TIMEOUT_DEFAULT: setting(whole(1, 604_800), '300', 'Default timeout of an attempt, in seconds.'),

  // What actions reach.
  EGRESS_POLICY: optional(
    oneOf(['internal', 'registered', 'public-only', 'none']),
    'The outbound policy: which addresses actions may call. internal (including private ones), registered (public ones and the services below), public-only, none. By default internal on loopback without authentication, else registered.',
  ),
  EGRESS_ALLOW: setting(
    hosts(),
    '',
    'Hosts that may be called, and be registered as services, even if the outbound policy would reject them (not with public-only), as host, host:port, *.domain, addresses or networks (10.1.0.0/16); a list.',
  ),
  EGRESS_TENANTS: setting(
    tenantEgress(),
    '{}',
    'Exceptions for single tenants, as JSON: {"acme": {"policy": "none", "allow": ["api.example.com"], "deny": ["*.example.org"]}}. allow: in addition to EGRESS_ALLOW; deny takes precedence over everything else.',
  ),
  SERVICES: optional(
    urlMap(),
    'Services by name for service_call, as JSON; <NAME>_URL=http://… does the same for one.',
  ),
  ESC_URL: optional(url(['http', 'https']), 'The system that approve_batches calls; by default a simulation.'),
  SMTP_URL: optional(url(['smtp', 'smtps']), 'The mail server of the notification channel email.', {
    secret: 'credentials',
  }),
  SMTP_FROM: optional(text(), 'The sender of these mails.'),
  NOTIFICATION_EMAIL_TO: optional(text(), 'The default recipients of these mails.'),
  SLACK_WEBHOOK_URL: optional(url(['http', 'https']), 'The URL of the notification channel slack.', { secret: true }),
  NOTIFICATION_WEBHOOK_URL: optional(url(['http', 'https']), 'The URL of the notification channel webhook.', {
    secret: true,
  }),
  INBOUND_WEBHOOK_SECRET: optional(
    tenantSecrets(24, 16),
    'Verifies the signatures (Standard Webhooks) of senders without credentials at POST /events: a list for the tenant default, or JSON of tenants, each with a list. All secrets of a list are accepted. With several tenants a request names its tenant by X-Tenant-ID or ?tenant_id=.',
    { secret: true },
  ),
  WEBHOOK_SECRET: setting(
    list(),
    '',
    'Signs the callbacks (Standard Webhooks); a list: there is one signature for each, so that receivers can learn a new secret before the old one is removed.',
    { secret: true },
  ),
  PEERS: setting(
    urlList(),
    '',
    'Base URLs of other installations to which registered services are replicated; a list.',
  ),
  PEER_SECRET: setting(
    secretList(32),
    '',
    'Signs the messages between peers; a list: the first one signs, all are accepted. Without it messages are not signed, which is rejected where authentication is configured.',
    { secret: true },
  ),
  APPROVAL_LINK_SECRET: setting(
    secretList(32),
    '',
    'Signs the one-time links of approvals; a list: the first one signs, all are accepted. Must differ from the secret of the callbacks, which their receivers know. By default there are no links.',
    { secret: true },
  ),
  EVENTS_STREAM: optional(
    text(),
    'A Redis stream that gets every event of every tenant, at least once; needs REDIS_URL. By default there is none.',
  ),
  EVENTS_STREAM_MAXLEN: setting(
    whole(1),
    '100000',
    'Approximate maximum number of entries in that stream; the newest are retained.',
  ),
  SECRETS_DIR: setting(
    text(),
    '/run/secrets',
    'A folder of files, each the secret of its name; SECRET_<NAME>=… does the same for one.',
  ),
  SECRETS_SHARED: setting(
    list(),
    'default',
    'The tenants whose tasks may use these secrets; a list, or * for all. Secrets of the tenant itself, stored with PUT /secrets, take precedence.',
  ),
  SECRETS_KEY: setting(
    keyList(),
    '',
    'Encrypts stored secrets (PUT /secrets, the secrets of webhooks); the same for the API and all workers. A list: the first key encrypts, all of them decrypt; `npm run secrets:rotate` re-encrypts everything with the first. May be a file of that name in SECRETS_DIR. Without it PUT /secrets is rejected.',
    { secret: true },
  ),
  ENCRYPT_PAYLOADS: setting(
    flag(),
    'false',
    'Encrypts the inputs, outputs and logs of executions before they are stored in PostgreSQL. Needs SECRETS_KEY; data stored before does not change. docs/security.md says what is encrypted.',
  ),

  // How the engine paces itself.
  ADMISSION_WINDOW: setting(
    whole(1),
    '10000',
    'Maximum number of executions in the queue; the others wait in PostgreSQL, and so do sleeping ones.',
    {
      aliases: ['ORCHESTRATOR_MAX_CONCURRENT_RUNS', 'MAX_CONCURRENT_RUNS'],
    },
  ),
  MAX_QUEUED_RUNS_PER_TENANT: setting(
    whole(0),
    '0',
    'Quota of queued executions per tenant; further ones are rejected with 429. 0: no limit.',
  ),
  MAX_LIVE_RUNS_PER_TENANT: setting(
    whole(0),
    '1000000',
    'Quota of live executions per tenant: running, sleeping and queued; further ones are rejected with 429. 0: no limit.',
  ),
  TENANT_WEIGHTS: setting(
    weights(),
    '',
    'Fair-share weights of tenants while the capacity of the queue is scarce, as name=weight; a list. 1 for all other tenants. `PUT /tenants/{tenant_id}/weight` takes precedence.',
  ),
  MAX_RUN_DEPTH: setting(
    whole(1, 100),
    '8',
    'Maximum nesting depth of executions that start others (action type `workflow`).',
  ),
  LANE_RATE_LIMITS: setting(
    rateLimits(),
    '',
    'Rate limits by action type, for all workers together, as http_request=10/1s; a list. The same for all workers.',
  ),
  SERVICE_RATE_LIMITS: setting(
    rateLimits(),
    '',
    'Rate limits of `service_call` by service name, for all workers together, as doc_store=5/1s; a list. The same for all workers.',
  ),
  RECONCILE_SECONDS: setting(whole(1, 3_600), '10', 'Interval at which executions without progress are reconciled.'),
  LOCK_DURATION_MS: setting(
    whole(1_000, 600_000),
    '15000',
    'How long a task stays locked by a worker that no longer responds.',
  ),
  STALLED_INTERVAL_MS: setting(whole(100, 600_000), '5000', 'Interval of the check for such stalled tasks.'),

  RETENTION_DAYS: setting(
    whole(0, 36_500),
    '0',
    'Executions are deleted this many days after they ended, with their tasks, attempts, events and idempotency keys; 0: never. `retention_days` of a workflow takes precedence.',
  ),
  RETENTION_BYTES: setting(
    whole(0),
    '0',
    'Approximate maximum size of stored executions in bytes, without indexes and free space; beyond that the oldest ended executions are deleted, regardless of their age; 0: no limit.',
  ),

  TRACE_RETENTION_HOURS: setting(
    whole(0, 8_760),
    '72',
    'How long calls made by workers are retained for traces; 0: they are not recorded.',
  ),

  // What it writes down about who did what.
  AUDIT_READS: setting(
    flag(),
    'false',
    'true: every request is recorded in the audit, including reads. false: changes, denied requests, and reads of sensitive data.',
  ),
  AUDIT_RETENTION_DAYS: setting(
    whole(30, 36_500),
    '730',
    'Audit entries are deleted after this many days, from the start of each chain.',
  ),
  AUDIT_ANCHOR_FILE: optional(
    text(),
    'A file to which the ends of the audit chains are appended, preferably on an append-only medium; `npm run audit:verify` checks against it. By default they are only logged.',
  ),
  AUDIT_ANCHOR_SECRET: setting(
    secretList(32),
    '',
    'Signs these ends (HMAC-SHA256); a list: the first one signs, `npm run audit:verify` accepts all. With it, a file that contains lines not signed by any of them is rejected: start a new file when you set this.',
    { secret: true },
  ),

  // What it tells.
  LOG_LEVEL: setting(
    oneOf(['debug', 'info', 'warn', 'error'], {
      trace: 'debug',
      notset: 'debug',
      warning: 'warn',
      critical: 'error',
      fatal: 'error',
    }),
    'info',
    'debug, info, warn (warning) or error (critical), case-insensitive.',
  ),
  LOG_FORMAT: setting(oneOf(['json', 'text']), 'json', 'json: one object per line; text: human-readable.'),
  LOG_FILE: setting(
    text(),
    'logs/automation.log',
    'The log file in addition to the console, 10 MB and 5 older files; none: the console only.',
  ),
  LOG_COLLECTOR_URL: optional(
    url(['http', 'https']),
    'Where the log is sent in batches. With a path: JSON lines are posted there; without: to /logs/batch, as the older log collector expects. User and password in the URL are sent as basic authentication.',
    { secret: 'credentials' },
  ),
  ...TRACE_VARIABLES,
  METRICS_ENABLED: setting(flag(), 'true', 'false: /metrics is not served, neither by the API nor by workers.', {
    aliases: ['ENABLE_METRICS'],
  }),
  HEALTH_CHECK_TIMEOUT: setting(decimal(0.1, 60), '5', 'Timeout in seconds of the checks of /health/system.'),
  NODE_ENV: setting(text(), 'production', 'test: failures may be injected.'),
  FAILPOINTS: setting(
    failpointRules(),
    '',
    'With NODE_ENV=test only: where a process fails on purpose, name:exit|stop|throw|sleep(ms)@n; a list.',
  ),

  // What this version refuses, because leaving it unnoticed would be unsafe.
  IDENTITY_SERVICE_URL: optional(text(), 'Not supported yet: rejected at start.'),
  POLICY_ENGINE_URL: optional(text(), 'Not supported yet: rejected at start.'),
} as const satisfies Record<string, Variable>;

export type VariableName = keyof typeof VARIABLES;

/** What adapters may read. */
export const ADAPTER_SETTINGS = [
  'ESC_URL',
  'SMTP_URL',
  'SMTP_FROM',
  'SLACK_WEBHOOK_URL',
  'NOTIFICATION_WEBHOOK_URL',
  'NOTIFICATION_EMAIL_TO',
] as const;

/** The names under which a variable is looked for, the first one wins. */
export function namesOf(name: VariableName): string[] {
  const variable: Variable = VARIABLES[name];
  return [name, `ORCHESTRATOR_${name}`, ...(variable.aliases ?? [])];
}
