/** What the HTTP door needs; `compose.ts` puts it together. */
import type { RequestHandler } from 'express';
import type { Definition } from '../domain/definition.ts';
import type { ErrorCode } from '../domain/errors.ts';
import type { ApiKeys } from '../engine/api-keys.ts';
import type { Approvals } from '../engine/approvals.ts';
import type { Audit, AuditReader } from '../engine/audit-ports.ts';
import type { ControlOperations } from '../engine/control-operations.ts';
import type { DeadLetters } from '../engine/dead-letters.ts';
import type { EngineHealth } from '../engine/engine-health.ts';
import type { TenantData } from '../engine/erasure-ports.ts';
import type { ErrorGroups } from '../engine/error-groups.ts';
import type { EventLog } from '../engine/event-log.ts';
import type { RecordPlatformEvent } from '../engine/event-log-ports.ts';
import type { ExternalTasks } from '../engine/external-tasks.ts';
import type { FollowRuns } from '../engine/follow-run.ts';
import type { IncomingEvents } from '../engine/incoming-events.ts';
import type { LateEffectReader } from '../engine/late-effects.ts';
import type { LoginSessions } from '../engine/login-session-ports.ts';
import type { Peers } from '../engine/peers.ts';
import type { DocumentStore } from '../engine/platform-ports.ts';
import type { Logger } from '../engine/ports.ts';
import type { ControlEventReader, RunReader, WorkflowStore } from '../engine/read-models.ts';
import type { Registry } from '../engine/registry.ts';
import type { LogReader } from '../engine/run-logs.ts';
import type { SagaReader } from '../engine/saga-views.ts';
import type { Schedules } from '../engine/schedules.ts';
import type { Secrets } from '../engine/secrets.ts';
import type { ServiceApiReader } from '../engine/service-apis.ts';
import type { Signals } from '../engine/signals.ts';
import type { SystemHealth } from '../engine/system-health.ts';
import type { SystemProblems } from '../engine/system-problems.ts';
import type { SystemRuns } from '../engine/system-runs.ts';
import type { TenantWeightStore } from '../engine/tenant-weight-ports.ts';
import type { TraceReader } from '../engine/traces.ts';
import type {
  AcceptRuns,
  ActionTypes,
  BulkControl,
  Caller,
  CancelRuns,
  Health,
  Lanes,
  PauseRuns,
  PauseWorkflows,
  RerunRuns,
  RetryRuns,
  SettleByHand,
  WaitForRuns,
} from '../engine/use-cases.ts';
import type { Webhooks } from '../engine/webhooks.ts';
import type { WhyOfRuns } from '../engine/why.ts';
import type { WorkflowCatalog } from '../engine/workflow-catalog.ts';
import type { WritePath } from '../engine/write-path.ts';
import type { EffectiveConfig } from '../schemas/effective-config.ts';
import type { JsonObject } from '../schemas/json.ts';
import type { WhoAsks } from './auth/identify.ts';
import type { Login } from './auth/login.ts';
import type { DoorSpans, RequestSpan } from './context.ts';
import type { DoorLimits } from './limits.ts';
import type { MetricsRegistry } from './metrics.ts';
import type { DatabaseFaults } from './problem.ts';

export interface HttpConfig {
  /** `*`: any. */
  corsOrigins: readonly string[];
  /** The names under which it may be asked; undefined: any. */
  hostNames?: readonly string[] | undefined;
  bodyLimitBytes: number;
  /** As they are configured. */
  tenantWeights?: ReadonlyMap<string, number> | undefined;
  /** By tenant: what senders of events sign with. */
  inboundWebhookSecrets?: ReadonlyMap<string, readonly string[]> | undefined;
  /** Whose X-Forwarded-For is believed; undefined: nobody's. */
  trustProxy?: number | readonly string[] | undefined;
  /** Every request is audited, not only those that change something. */
  auditReads: boolean;
  /** Where clients reach the service; undefined: links are paths. */
  publicUrl: string | undefined;
  version: string;
  /** The certificate and key that it is served with, if it is. */
  tls?: object | undefined;
  /** How streams of events behave; each has a default. */
  streams?: { heartbeatMs?: number; patienceMs?: number; credentialsMs?: number };
}

export interface HttpDeps {
  config: HttpConfig;
  log: Logger;
  /** Who asks, and what that one may do. */
  whoAsks: WhoAsks;
  /** Undefined: no browser can log in. */
  login?: Login | undefined;
  apiKeys: ApiKeys;
  loginSessions: LoginSessions;
  clock: { now(): Date };
  /** Does the work for the tenant of that caller alone; what it logs carries the caller's ids. */
  inTenant<T>(caller: Caller, work: () => T): T;
  accept: AcceptRuns;
  cancel: CancelRuns;
  retry: RetryRuns;
  rerun: RerunRuns;
  pause: PauseRuns;
  byHand: SettleByHand;
  bulk: BulkControl;
  pauseWorkflows: PauseWorkflows;
  operations: Pick<ControlOperations, 'begin' | 'find'>;
  tenantWeights: Pick<TenantWeightStore, 'find' | 'set' | 'remove'>;
  lanes: Lanes;
  controlEvents: ControlEventReader;
  approvals: Approvals;
  signals: Signals;
  deadLetters: DeadLetters;
  errorGroups: ErrorGroups;
  audit: Audit;
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
  newId(): string;
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
  catalog: WorkflowCatalog;
  runs: RunReader;
  definitions: {
    /** `tenantId`: what the flow form says of itself. */
    normalise(tenantId: string, body: JsonObject): Promise<{ definition: Definition; tenantId: string | undefined }>;
    merge(tenantId: string, current: Definition, patch: JsonObject): Promise<Definition>;
  };
  /** True when an error means that the database cannot be reached at the moment. */
  isUnavailable: DatabaseFaults['isUnavailable'];
  needsRepair: DatabaseFaults['needsRepair'];
  writePath: Pick<WritePath, 'fault' | 'lastFault'>;
  /** Bull Board, served under /admin/queues. */
  board: RequestHandler;
  /** Undefined: everybody may come as often as they want. */
  limits?: DoorLimits | undefined;
  /** Undefined: they are not served. */
  metrics: MetricsRegistry | undefined;
  /** Told of every answer; `endpoint` is the path of the operation, not that of the request. */
  answered?(request: {
    method: string;
    endpoint: string;
    status: number;
    seconds: number;
    traceId: string;
    problem: ErrorCode | undefined;
    span?: RequestSpan | undefined;
    tenantId?: string | undefined;
  }): void;
  /** Undefined: no spans are exported. */
  spans?: DoorSpans | undefined;
  /** Of this process, as it may be shown. */
  effectiveConfig: EffectiveConfig;
}
