/**
 * Settings of the older services, and of later versions, that are accepted without effect, each with the reason. Those that
 * are set are logged at start. The names of the older YAML file are made of their section and key.
 */
const TEMPORAL = 'This service is its own engine and connects to no Temporal.';
const CELERY = 'Tasks are queued by BullMQ: its Redis is REDIS_URL, and results are stored in PostgreSQL.';
const BROWSER = 'It is for the automation that runs in a browser; here actions call services.';

export const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  KAFKA_ENABLE_AUTO_COMMIT: 'The offset of a message is committed after what became of it.',
  FLOW_REGISTRY_URL: 'Flows are sent with the request or are workflows of this service.',
  DB_PATH: 'The state is in PostgreSQL (DATABASE_URL), not in an SQLite file.',

  TEMPORAL_HOST: TEMPORAL,
  TEMPORAL_NAMESPACE: TEMPORAL,
  TRACING_ENABLED: 'Traces are exported where OTEL_EXPORTER_OTLP_ENDPOINT is set; OTEL_SDK_DISABLED turns that off.',

  CELERY_BROKER_URL: CELERY,
  CELERY_RESULT_BACKEND: CELERY,
  ESC_USERNAME: BROWSER,
  ESC_PASSWORD: BROWSER,
  HEADLESS: BROWSER,
  SELENIUM_TIMEOUT: BROWSER,
  DOWNLOAD_PATH: BROWSER,

  SERVICE_NAME: 'The service is named orchestrator in its log, metrics and responses.',
  SERVICE_WORKERS: 'The number of API and worker processes is that of the processes that are started.',
  DATABASE_TIMEOUT_SECONDS: 'Every query has a limit that fits what it does.',
  METRICS_INTERVAL: 'Metrics are updated continuously and read on request.',

  IDEMPOTENCY_TTL_HOURS: 'Idempotency keys are stored as long as their executions.',
};
