/** All that the endpoints of the trunk and of the features need, as tests of HTTP alone give it. */
import type { ControlOperations } from '../../src/engine/control/control-operations.ts';
import type { FollowRuns } from '../../src/engine/follow/follow-run.ts';
import type { EngineHealth } from '../../src/engine/health/engine-health.ts';
import type { AuditReader } from '../../src/engine/ports/audit.ts';
import type { DefinitionRules } from '../../src/engine/ports/definitions.ts';
import type { LateEffectReader } from '../../src/engine/ports/late-effects.ts';
import type {
  ControlEventReader,
  RunReader,
  StatisticsOfWorkflow,
  WorkflowStore,
} from '../../src/engine/ports/read-models.ts';
import type { SystemRuns } from '../../src/engine/ports/system-workflows.ts';
import type { TenantWeightStore } from '../../src/engine/ports/tenant-weights.ts';
import type {
  AcceptRuns,
  ActionTypes,
  BulkControl,
  CancelRuns,
  Health,
  Lanes,
  PauseRuns,
  PauseWorkflows,
  RerunRuns,
  RetryRuns,
  SettleManually,
  WaitForRuns,
} from '../../src/engine/ports/use-cases.ts';
import type { LoginSessions } from '../../src/features/access/login-session-ports.ts';
import type { ApiKeys } from '../../src/features/access/manage-api-keys.ts';
import type { Approvals } from '../../src/features/approvals/decide-approvals.ts';
import type { SystemHealth } from '../../src/features/diagnosis/check-system.ts';
import type { WhyOfRuns } from '../../src/features/diagnosis/explain-run.ts';
import type { SystemProblems } from '../../src/features/diagnosis/find-problems.ts';
import type { TenantData } from '../../src/features/erasure/ports.ts';
import type { EventLog } from '../../src/features/events/event-log.ts';
import type { RecordPlatformEvent } from '../../src/features/events/event-log-ports.ts';
import type { IncomingEvents } from '../../src/features/events/take-events.ts';
import type { ExternalTasks } from '../../src/features/external-workers/lease-tasks.ts';
import type { DeadLetters } from '../../src/features/failures/ports.ts';
import type { ErrorGroups } from '../../src/features/failures/error-groups.ts';
import type { ActivityReader, HistoryReader } from '../../src/features/history/ports.ts';
import type { Peers } from '../../src/features/peers/exchange.ts';
import type { DocumentStore } from '../../src/features/platform/ports.ts';
import type { LogReader } from '../../src/features/run-logs/ports.ts';
import type { SagaReader } from '../../src/features/sagas/ports.ts';
import type { Schedules } from '../../src/features/schedules/manage-schedules.ts';
import type { WorkflowSearch } from '../../src/features/search/ports.ts';
import type { Secrets } from '../../src/features/secrets/keep-secrets.ts';
import type { ServiceApiReader } from '../../src/features/service-apis/poll-apis.ts';
import type { Registry } from '../../src/features/services/registry.ts';
import type { Signals } from '../../src/features/signals/send-signal.ts';
import type { StatisticsReader } from '../../src/features/statistics/ports.ts';
import type { WorkflowTemplates } from '../../src/features/templates/manage-templates.ts';
import type { TraceReader } from '../../src/features/tracing/ports.ts';
import type { Webhooks } from '../../src/features/webhooks/manage-webhooks.ts';
import type { Login } from '../../src/http/auth/login.ts';
import type { HttpConfig, HttpCore } from '../../src/http/server/core.ts';
import type { MetricsRegistry } from '../../src/http/server/metrics.ts';
import type { EffectiveConfig } from '../../src/schemas/effective-config.ts';

export interface TestConfig extends HttpConfig {
  tenantWeights: ReadonlyMap<string, number>;
  /** By tenant: what senders of events sign with. */
  inboundWebhookSecrets: ReadonlyMap<string, readonly string[]>;
}

/** Without what `loginFor` and `before` are made of. */
export interface HttpDeps extends Omit<HttpCore, 'config' | 'loginFor' | 'before'> {
  config: TestConfig;
  /** Undefined: no browser can log in. */
  login?: Login | undefined;
  apiKeys: ApiKeys;
  loginSessions: LoginSessions;
  clock: { now(): Date };
  accept: AcceptRuns;
  cancel: CancelRuns;
  retry: RetryRuns;
  rerun: RerunRuns;
  pause: PauseRuns;
  byHand: SettleManually;
  bulk: BulkControl;
  pauseWorkflows: PauseWorkflows;
  operations: Pick<ControlOperations, 'start' | 'find'>;
  tenantWeights: Pick<TenantWeightStore, 'find' | 'set' | 'remove'>;
  lanes: Lanes;
  controlEvents: ControlEventReader;
  approvals: Approvals;
  signals: Signals;
  deadLetters: DeadLetters;
  errorGroups: ErrorGroups;
  auditLog: AuditReader;
  tenantData: TenantData;
  sagas: SagaReader;
  lateEffects: LateEffectReader;
  traces: TraceReader;
  schedules: Schedules;
  externalTasks: ExternalTasks;
  secrets: Secrets;
  webhooks: Webhooks;
  registry: Registry;
  serviceApis: ServiceApiReader;
  peers: Peers;
  system: SystemRuns;
  eventLog: EventLog;
  incoming: Pick<IncomingEvents, 'receive'>;
  documents: Pick<DocumentStore, 'find'>;
  record: RecordPlatformEvent;
  newId: () => string;
  wait: WaitForRuns;
  events: FollowRuns;
  logs: LogReader;
  health: Health;
  engineHealth: EngineHealth;
  systemHealth: SystemHealth;
  why: WhyOfRuns;
  problems: SystemProblems;
  actionTypes: ActionTypes;
  workflows: WorkflowStore;
  runs: RunReader;
  /** Undefined: they are not served. */
  metrics: MetricsRegistry | undefined;
  /** Of this process, as it may be shown. */
  effectiveConfig: EffectiveConfig;
  definitions: DefinitionRules;
  templates: WorkflowTemplates;
  search: WorkflowSearch;
  statistics: StatisticsReader;
  statisticsOf: StatisticsOfWorkflow;
  history: HistoryReader;
  activity: ActivityReader;
}
