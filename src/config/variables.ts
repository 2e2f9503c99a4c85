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
  PORT: setting(whole(0, 65_535), '8000', 'The port of the API; 0: any free one.', {
    aliases: ['FASTAPI_PORT', 'ORCHESTRATOR_SERVICE_PORT'],
  }),
  HOST: optional(
    text(),
    'The address to listen on. Left out: 127.0.0.1 while no authentication is configured, else 0.0.0.0.',
    {
      aliases: ['FASTAPI_HOST', 'ORCHESTRATOR_SERVICE_HOST'],
    },
  ),
  PUBLIC_URL: optional(
    url(['http', 'https']),
    'Where clients reach the API, for the links in answers; left out: links are paths.',
  ),
  ...ACCESS_VARIABLES,
  CORS_ORIGINS: optional(
    list(),
    'Origins of browser pages that may call the API; a list. *: any; loopback: those that this machine serves. Left out: * where authentication is configured (no cookie is ever sent along), else loopback.',
  ),
  TRUST_PROXY: setting(
    trustedProxies(),
    '0',
    'Whose X-Forwarded-For is believed: the number of proxies in front of the API, or a list of their addresses and networks (10.0.0.0/8), loopback, private. Only for the limits below and the audit.',
  ),
  RATE_LIMIT_PER_MINUTE: setting(
    whole(0, 10_000_000),
    '0',
    'How many requests a client may make in a minute: by its credentials, by its address where nothing is required; 0: any number.',
  ),
  AUTH_FAILURES_PER_MINUTE: setting(
    whole(0, 1_000_000),
    '30',
    'After so many wrong credentials from one address within a minute more wrong ones from there are 429, right ones pass; 0: any number.',
  ),
  MAX_CONNECTIONS: setting(
    whole(1, 1_000_000),
    '10000',
    'How many connections the API holds at a time; what comes beyond is closed at once.',
  ),
  MAX_STREAMS_PER_TENANT: setting(
    whole(1, 1_000_000),
    '500',
    'How many streams of events and sockets of tasks a tenant may have open at one API.',
  ),
  BODY_LIMIT_BYTES: setting(whole(1_024), '1048576', 'The largest request body.'),

  // The stores.
  DATABASE_URL: optional(
    url(['postgresql', 'postgres']),
    'The PostgreSQL database. Left out: `npm start` runs a server of its own in DATA_DIR.',
    { secret: 'credentials' },
  ),
  DATABASE_POOL_SIZE: setting(
    whole(1, 1_000),
    '10',
    'Connections to PostgreSQL per process. An API has up to as many again for what it does for one tenant alone.',
  ),
  ROW_LEVEL_SECURITY: setting(
    oneOf(['auto', 'required', 'off']),
    'auto',
    'Policies of the database as the second wall between tenants. auto: where the role for it could be made; required: an API does not start without; off: never (behind a pooler in transaction mode).',
  ),
  REDIS_URL: optional(url(['redis', 'rediss']), 'The Redis of the queue. Left out: the queue is in PostgreSQL too.', {
    secret: 'credentials',
  }),
  REDIS_HOST: optional(text(), 'Instead of REDIS_URL: the host.'),
  REDIS_PORT: setting(whole(1, 65_535), '6379', 'With REDIS_HOST: the port.'),
  QUEUE_PREFIX: setting(
    text(),
    '{orch-0}',
    'What the keys of the queue begin with; the same for all processes that work together.',
  ),
  DATA_DIR: setting(text(), './data', 'Where `npm start` keeps its own PostgreSQL.'),

  // The workers.
  WORKER_LANES: setting(list(), 'all', 'The action types that a worker serves; a list, or all.'),
  WORKER_CONCURRENCY: setting(whole(1, 10_000), '50', 'How many tasks of one lane a worker runs at a time.'),
  WORKER_PORT: setting(whole(0, 65_535), '9090', 'The port of a worker for /health and /metrics; 0: any free one.', {
    aliases: ['ORCHESTRATOR_METRICS_PORT', 'METRICS_PORT'],
  }),
  EXPRESSION_THREADS: setting(
    whole(1, 64),
    '2',
    'How many threads of an API or a worker evaluate expressions and check definitions, parameters and payloads; tenants take turns in them.',
  ),
  ISOLATED_PROCESSES: setting(
    whole(1, 1_000),
    '4',
    'How many tasks a worker runs at a time in processes of their own: those of isolated adapters, and those that may have ended workers.',
  ),
  ISOLATED_MEMORY_MB: setting(whole(32), '512', 'The heap of such a process.'),
  BLOCKED_SECONDS: setting(
    whole(0, 86_400),
    '60',
    'A process whose event loop stands still for that long ends itself, to be started anew; 0: never.',
  ),
  DEAF_SECONDS: setting(
    whole(1, 3_600),
    '30',
    'A worker that takes nothing for that long although jobs wait and it has room connects anew, and ends itself when that does not help within as long again.',
  ),
  SHUTDOWN_GRACE_SECONDS: setting(whole(0, 3_600), '30', 'How long running tasks may take to end after SIGTERM.'),
  MAX_OUTPUT_BYTES: setting(whole(1_024), '1048576', 'The largest output of an action.'),
  MAX_RETRY_ATTEMPTS: setting(
    whole(0, 1_000),
    '3',
    'How often an action that says nothing about it is tried again after its first attempt.',
  ),
  RETRY_BACKOFF_BASE: setting(
    decimal(1, 100),
    '2',
    'The base of the exponential backoff of an action that does not say: the n-th delay is the n-th power of it in seconds (2, 4, 8).',
  ),
  TASK_TIMEOUT_DEFAULT: setting(
    whole(1, 604_800),
    '300',
    'Seconds that an attempt may take when the action does not say.',
  ),

  // What actions reach.
  EGRESS_POLICY: optional(
    oneOf(['internal', 'registered', 'public-only', 'none']),
    'Which addresses actions may call: internal (private ones too), registered (public ones and the services below), public-only, none. Left out: internal on loopback without authentication, else registered.',
  ),
  EGRESS_ALLOW: setting(
    hosts(),
    '',
    'Hosts that may be called, and be registered as services, although the policy would refuse them (not with public-only), as host, host:port, *.domain, addresses or networks (10.1.0.0/16); a list.',
  ),
  EGRESS_TENANTS: setting(
    tenantEgress(),
    '{}',
    'What is different for single tenants, as JSON: {"acme": {"policy": "none", "allow": ["api.example.com"], "deny": ["*.example.org"]}}. allow: beside EGRESS_ALLOW; deny wins over everything.',
  ),
  SERVICES: optional(
    urlMap(),
    'Services by name for service_call, as JSON; <NAME>_URL=http://… does the same for one.',
  ),
  ESC_URL: optional(url(['http', 'https']), 'The system that approve_batches asks; left out: a simulation.'),
  SMTP_URL: optional(url(['smtp', 'smtps']), 'The mail server of the notification channel email.', {
    secret: 'credentials',
  }),
  SMTP_FROM: optional(text(), 'The sender of these mails.'),
  NOTIFICATION_EMAIL_TO: optional(text(), 'Their recipients when an action names none.'),
  SLACK_WEBHOOK_URL: optional(url(['http', 'https']), 'Where the notification channel slack posts.', { secret: true }),
  NOTIFICATION_WEBHOOK_URL: optional(url(['http', 'https']), 'Where the notification channel webhook posts.', {
    secret: true,
  }),
  INBOUND_WEBHOOK_SECRET: optional(
    tenantSecrets(24, 16),
    'What senders of POST /events sign with (Standard Webhooks) who have no credentials: a list for the tenant default, or JSON of tenants, each with a list. All of a list are accepted. With several tenants a request names its own, by X-Tenant-ID or ?tenant_id=.',
    { secret: true },
  ),
  WEBHOOK_SECRET: setting(
    list(),
    '',
    'Signs the callbacks (Standard Webhooks); a list: there is a signature for each, so that receivers may know the new one before the old one goes.',
    { secret: true },
  ),
  PEERS: setting(
    urlList(),
    '',
    'Other installations that are told of the services registered here, as their base URLs; a list.',
  ),
  PEER_SECRET: setting(
    secretList(32),
    '',
    'Signs what peers tell each other; a list: the first one signs, all are accepted. Left out: nothing is signed, which is refused where authentication is configured.',
    { secret: true },
  ),
  APPROVAL_LINK_SECRET: setting(
    secretList(32),
    '',
    'Signs the one-time links of approvals; a list: the first one signs, all are accepted. Not the one of the callbacks, which their receivers know. Left out: no links.',
    { secret: true },
  ),
  EVENTS_STREAM: optional(
    text(),
    'A Redis stream that gets every event of every tenant, at least once; needs REDIS_URL. Left out: none.',
  ),
  EVENTS_STREAM_MAXLEN: setting(whole(1), '100000', 'About so many of the newest entries are kept in that stream.'),
  SECRETS_DIR: setting(
    text(),
    '/run/secrets',
    'A folder of files, each the secret of its name; SECRET_<NAME>=… does the same for one.',
  ),
  SECRETS_SHARED: setting(
    list(),
    'default',
    'The tenants whose tasks may use those; a list, or * for all. Their own, kept by PUT /secrets, go before them.',
  ),
  SECRETS_KEY: setting(
    keyList(),
    '',
    'Encrypts what is kept secret (PUT /secrets, the secrets of webhooks); the same at the API and all workers. A list: the first key encrypts, all of them decrypt; `npm run secrets:rotate` moves everything to the first. May be a file of that name in SECRETS_DIR. Left out: PUT /secrets is refused.',
    { secret: true },
  ),
  ENCRYPT_PAYLOADS: setting(
    flag(),
    'false',
    'Encrypts what executions are given, make and say before it is kept in PostgreSQL. Needs SECRETS_KEY; what was kept before stays as it is. docs/security.md says what is encrypted.',
  ),

  // How the engine paces itself.
  ADMISSION_WINDOW: setting(
    whole(1),
    '10000',
    'The most runs in the queue at a time; the others wait in PostgreSQL, and so do those that sleep.',
    {
      aliases: ['ORCHESTRATOR_MAX_CONCURRENT_RUNS', 'MAX_CONCURRENT_RUNS'],
    },
  ),
  MAX_QUEUED_RUNS_PER_TENANT: setting(
    whole(0),
    '0',
    'How many executions of a tenant may wait to begin; those beyond are refused with 429. 0: any number.',
  ),
  MAX_LIVE_RUNS_PER_TENANT: setting(
    whole(0),
    '1000000',
    'How many executions of a tenant may be under way or asleep, with those that wait to begin; those beyond are refused with 429. 0: any number.',
  ),
  TENANT_WEIGHTS: setting(
    weights(),
    '',
    'How much more of the queue a tenant gets than others while it is scarce, as name=weight; a list. 1 for all that are not named. `PUT /tenants/{tenant_id}/weight` goes before it.',
  ),
  MAX_RUN_DEPTH: setting(whole(1, 100), '8', 'How deeply executions may begin others (action type `workflow`).'),
  LANE_RATE_LIMITS: setting(
    rateLimits(),
    '',
    'How many tasks of an action type are begun within a time by all workers together, as http_request=10/1s; a list. The same for all workers.',
  ),
  SERVICE_RATE_LIMITS: setting(
    rateLimits(),
    '',
    'How many calls of `service_call` a service gets within a time from all workers together, by its name, as doc_store=5/1s; a list. The same for all workers.',
  ),
  RECONCILE_SECONDS: setting(whole(1, 3_600), '10', 'How often runs that have not moved are looked at.'),
  LOCK_DURATION_MS: setting(
    whole(1_000, 600_000),
    '15000',
    'How long a task stays with a worker that is not heard of.',
  ),
  STALLED_INTERVAL_MS: setting(whole(100, 600_000), '5000', 'How often such tasks are looked for.'),

  RETENTION_DAYS: setting(
    whole(0, 36_500),
    '0',
    'Runs that ended so many days ago are removed, with their tasks, attempts, events and idempotency keys; 0: never. `retention_days` of a workflow goes before it.',
  ),
  RETENTION_BYTES: setting(
    whole(0),
    '0',
    'What is kept of runs may take about so many bytes, indexes and free space not counted; beyond that the oldest that have ended are removed, whatever their days; 0: any number.',
  ),

  TRACE_RETENTION_HOURS: setting(
    whole(0, 8_760),
    '72',
    'How long the calls that workers made are kept for traces; 0: they are not written down.',
  ),

  // What it writes down about who did what.
  AUDIT_READS: setting(
    flag(),
    'false',
    'true: every request is in the audit, also those that only read. false: changes, what was denied, and reads of what is sensitive.',
  ),
  AUDIT_RETENTION_DAYS: setting(
    whole(30, 36_500),
    '730',
    'Entries of the audit that are older are removed, from the beginning of each chain.',
  ),
  AUDIT_ANCHOR_FILE: optional(
    text(),
    'A file to which the ends of the chains of the audit are appended, best on a medium that nobody can change; `npm run audit:verify` checks against it. Left out: they are only logged.',
  ),
  AUDIT_ANCHOR_SECRET: setting(
    secretList(32),
    '',
    'Signs these ends (HMAC-SHA256); a list: the first one signs, `npm run audit:verify` takes all. Then it refuses a file with lines that none of them has signed: begin a new file with it.',
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
    'debug, info, warn (warning) or error (critical), in any case.',
  ),
  LOG_FORMAT: setting(oneOf(['json', 'text']), 'json', 'json: one object a line; text: for people.'),
  LOG_FILE: setting(
    text(),
    'logs/automation.log',
    'The log beside the console, 10 MB and 5 older ones; none: the console only.',
  ),
  LOG_COLLECTOR_URL: optional(
    url(['http', 'https']),
    'Where the log is sent in batches. With a path: JSON lines are posted there; without: to /logs/batch, as the older log collector has it. User and password in it become basic authentication.',
    { secret: 'credentials' },
  ),
  ...TRACE_VARIABLES,
  METRICS_ENABLED: setting(flag(), 'true', 'false: /metrics is not served, neither by the API nor by workers.', {
    aliases: ['ENABLE_METRICS'],
  }),
  HEALTH_CHECK_TIMEOUT: setting(
    decimal(0.1, 60),
    '5',
    'Seconds after which /health/system says of something that it does not answer.',
  ),
  NODE_ENV: setting(text(), 'production', 'test: failures may be injected.'),
  FAILPOINTS: setting(
    failpointRules(),
    '',
    'With NODE_ENV=test only: where a process fails on purpose, name:exit|stop|throw|sleep(ms)@n; a list.',
  ),

  // What this version refuses, because leaving it unnoticed would be unsafe.
  IDENTITY_SERVICE_URL: optional(text(), 'Not supported yet: refused.'),
  POLICY_ENGINE_URL: optional(text(), 'Not supported yet: refused.'),
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
