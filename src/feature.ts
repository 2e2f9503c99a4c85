/**
 * The seam between the trunk and the features. A feature is a folder below `features/` that can be deleted: its `index.ts`
 * exports one value of this type, and one line in `compose/features.ts` adds it to the router, the OpenAPI document, the
 * table of permissions and the processes. The trunk has no other reference to features.
 */
import type { RequestHandler } from 'express';
import type pg from 'pg';
import type { Registry } from 'prom-client';
import type { AdapterContext, EngineCapabilities, ServicesOfTask } from '../workers/adapter.ts';
import type { createCatalogue } from '../workers/catalogue.ts';
import type { AnyAdapter } from '../workers/shipped-adapters.ts';
import type { Config } from './config/config.ts';
import type { Finding } from './doctor/finding.ts';
import type { Definition } from './domain/definition/definition.ts';
import type { SystemWorkflow } from './domain/definition/system-workflow.ts';
import type { QueueUse } from './domain/fairness/queue-room.ts';
import type { Cause, WaitCause } from './domain/health/why-causes.ts';
import type { Egress, EgressDecision } from './egress/egress.ts';
import type { Plans } from './engine/accept/plans.ts';
import type { RetryDeps } from './engine/control/retry-run.ts';
import type { TaskLogStore } from './engine/deliver/task-logs.ts';
import type { EngineHealth, LaneDepths } from './engine/health/engine-health.ts';
import type { Audit } from './engine/ports/audit.ts';
import type { ChildStore } from './engine/ports/children.ts';
import type { BeforeSaveWorkflow, DefinitionRules, Definitions } from './engine/ports/definitions.ts';
import type { ExecutionCall } from './engine/ports/executor.ts';
import type { Failpoint } from './engine/ports/failpoint.ts';
import type { Logger } from './engine/ports/logger.ts';
import type { RunReader } from './engine/ports/read-models.ts';
import type { RejectedMessages } from './engine/ports/rejected-messages.ts';
import type { RunRow } from './engine/ports/rows.ts';
import type { RunStore } from './engine/ports/runs.ts';
import type { SecretsOfTasks } from './engine/ports/secrets.ts';
import type { SystemRuns } from './engine/ports/system-workflows.ts';
import type { TaskStore } from './engine/ports/tasks.ts';
import type { TenantWeightStore } from './engine/ports/tenant-weights.ts';
import type { AcceptRuns, CancelRuns, PauseRuns } from './engine/ports/use-cases.ts';
import type { CallSpans } from './engine/tracing/call-spans.ts';
import type { Workflows } from './engine/workflows/workflows.ts';
import type { Expressions } from './expressions/expressions.ts';
import type { VerifyToken } from './http/auth/identify.ts';
import type { Login } from './http/auth/login.ts';
import type { FindApiKey } from './http/auth/made-keys.ts';
import type { BeforeChange } from './http/middleware/before-change.ts';
import type { ApiLimits } from './http/middleware/limits.ts';
import type { OwnProtocol } from './http/server/http2.ts';
import type { InProcess } from './http/server/in-process.ts';
import type { Links } from './http/server/links.ts';
import { type BoundEndpoints, bind, type Endpoints, type Routes } from './http/server/operation.ts';
import type { RpcRequest, RpcResponse } from './http/server/server.ts';
import type { Backend } from './queue/backend.ts';
import type { createFlowQueue } from './queue/flow-queue.ts';
import type { JsonObject } from './schemas/json.ts';
import type { Outbox } from './store/core/outbox.ts';
import type { TenantPoolOptions } from './store/core/tenant-pool.ts';
import type { PrismaClient } from './store/generated/client.ts';

export interface Feature {
  /** As its folder is called. */
  name: string;
  /** Loaded by API processes alone. */
  api?: () => Promise<FeatureApi>;
  /** Loaded by workers alone. */
  worker?: () => Promise<FeatureWorker>;
  /** What `npm run doctor` checks of it. */
  doctor?: () => Promise<{ name: string; check(pool: pg.Pool, config: Config): AsyncIterable<Finding> }>;
  /** Action types that it brings: they use the engine, and so run in the process of the worker. */
  adapters?: readonly AnyAdapter[];
  /** Why its tasks wait, for `/why`. */
  waitCauses?: readonly WaitCause[];
  /** Its own tables: the rows of a tenant are exported and erased with it. */
  tables?: TenantTables;
  /** Workflows of the service's own that it brings; their names are always the same. */
  systemWorkflows?: readonly SystemWorkflow[] | ((config: Config) => readonly SystemWorkflow[]);
}

/** Found by their column `tenant_id`. `key`: what names a row; `hidden`: columns that are not exported. */
export type TenantTables = Readonly<Record<string, { key: readonly string[]; hidden?: readonly string[] }>>;

/** What a feature has in an API process. */
export interface FeatureApi {
  endpoints: readonly Endpoints<never>[];
  /** Credentials besides the configured ones. One feature at most offers it; it is made before `open` is called. */
  credentials?: (parts: Pick<ApiParts, 'config' | 'everyTenant' | 'log'>) => Credentials;
  /** Made once for a process. */
  open(parts: ApiParts): ApiPart;
}

export interface Credentials {
  /** Keys that tenants have made for themselves. */
  madeKeys: FindApiKey;
  /** Undefined: no browser can log in. */
  login: Login | undefined;
  /** Where a browser logs in that wants to see `path`; undefined likewise. */
  loginFor: ((path: string) => string) | undefined;
  close(): Promise<void>;
}

export interface ApiPart extends ApiHooks {
  endpoints: readonly BoundEndpoints[];
}

/** Hooks of the trunk in an API process. */
export interface ApiHooks {
  /** Sees a request before its authentication. */
  before?: readonly RequestHandler[];
  /** Serves requests of a protocol of its own on the port of the API. One feature at most offers it. */
  protocol?: OwnProtocol<RpcRequest, RpcResponse>;
  /** Verifies bearer tokens that are no keys and that the configured secrets and keys do not. One feature at most offers it. */
  tokens?: VerifyToken;
  /** Before an operation changes something: its request is parsed, and nothing is stored. A rejection stops it. */
  beforeChange?: BeforeChange;
  /** Before a definition that a client sent is read: what the feature understands of it, in words of the trunk. */
  translate?: (written: JsonObject) => JsonObject;
  /** Before a workflow is created, or gets another definition. */
  beforeSave?: BeforeSaveWorkflow;
  /** By channel of the database: what is notified there. */
  channels?: Readonly<Record<string, (payload: string) => void>>;
  /** A notification may have been lost. */
  onGap?: () => void;
  /** Who did what. One feature at most offers it. */
  audit?: Audit;
  /** Servers that it needs, for the health of the system. */
  dependencies?: readonly Dependency[];
  /** As `waitCauses`, of what has to be read. */
  whyWaiting?: WhyWaiting;
  /** Messages that could not be taken in. One feature at most offers it. */
  rejectedMessages?: RejectedMessages;
  /** Adds metrics of its own to those of the process. */
  registerMetrics?: (registry: Registry) => void;
  /** Its work in the background, until the signal aborts. */
  work?: (signal: AbortSignal) => Promise<unknown>;
  /** The process takes no further requests. */
  stop?: () => void;
  /** The last of it. */
  close?: () => Promise<void>;
}

export interface Dependency {
  /** Its name in the report. */
  name: string;
  kind: 'broker';
  /** Rejects when it does not answer. */
  ping(): Promise<unknown>;
}

/** Why tasks of a run wait, by action. What cannot be read in time is left out. */
export type WhyWaiting = (
  run: { id: string; tenantId: string; epoch: number },
  actionIds: readonly string[],
) => Promise<ReadonlyMap<string, Cause>>;

type AnyEndpoints = ReadonlyArray<Endpoints<never>>;
/** All that any of them needs. */
type NeedsOf<Tables extends AnyEndpoints> = Tables[number]['serve'] extends (routes: Routes, needs: infer Needs) => void
  ? Needs
  : never;

/** `open`: what the endpoints need, made of what the trunk offers. */
export function featureApi<const Tables extends AnyEndpoints>(
  endpoints: Tables,
  open: (parts: ApiParts) => NeedsOf<Tables> & { hooks?: ApiHooks },
): FeatureApi {
  return {
    endpoints,
    open(parts) {
      const { hooks, ...needs } = open(parts);
      // Together they have what each of them needs.
      return { endpoints: bind(endpoints, needs as never), ...hooks };
    },
  };
}

/** What the trunk of an API process offers. */
export interface ApiParts {
  config: Config;
  databaseUrl: string;
  /** Of the tenant of the request: row-level security holds. */
  pool: pg.Pool;
  /** Over that pool. */
  prisma: PrismaClient;
  /** Of every tenant. */
  everyTenant: pg.Pool;
  rowLevelSecurity: Omit<TenantPoolOptions, 'everyTenant'> & { gap(): Promise<string | undefined> };
  onDatabaseError(error: Error): void;
  backend: Backend;
  queue: ReturnType<typeof createFlowQueue>;
  queueUse(): QueueUse | undefined;
  /** The queue's own word for why it takes no writes. */
  queueRejects(): string | undefined;
  depths: LaneDepths;
  lanes: readonly string[];
  catalogue: ReturnType<typeof createCatalogue>;
  expressions: Expressions;
  definitions: Definitions;
  rules: DefinitionRules;
  /** Of what is shipped, and so can be trusted. */
  normaliseOwn(body: JsonObject): { definition: Definition };
  plans: Plans;
  runs: RunStore;
  reader: RunReader;
  workflows: Omit<Workflows, 'existed' | 'list' | 'versions' | 'update'>;
  accept: AcceptRuns;
  cancel: CancelRuns;
  pause: PauseRuns;
  /** What it takes to reopen a run. */
  reopening: RetryDeps;
  system: SystemRuns;
  weights: TenantWeightStore;
  engineHealth: EngineHealth;
  egress: Egress;
  /** As the feature that offers one has it; what is written before all are open is lost. */
  audit: Audit;
  /** As the feature that offers them has them, once all are open; undefined: there are none. */
  rejectedMessages(): RejectedMessages | undefined;
  /** Says why a tenant may not have a service at an address. */
  checkAddress(tenantId: string, url: string): Promise<string | undefined>;
  /** Of all features. */
  waitCauses: readonly WaitCause[];
  /** Of all features; none while they are opened. */
  dependencies(): readonly Dependency[];
  /** Likewise. */
  whyWaiting: WhyWaiting;
  /** Likewise. */
  tables: TenantTables;
  /** Undefined: no browser can log in. */
  login: Login | undefined;
  limits: ApiLimits;
  /** Sends requests through the API's own server. */
  inside: InProcess;
  links: Links;
  failpoint: Failpoint;
  clock: { now(): Date };
  /** UUIDs of version 7. */
  newId(): string;
  log: Logger;
}

/** What a feature has in a worker. */
export interface FeatureWorker {
  /** Made once for a process. */
  open(parts: WorkerParts): WorkerPart;
}

/** Hooks of the trunk in a worker. */
export interface WorkerPart {
  /** What its adapters get of the engine, bound to the task that they run. */
  capabilities?: (call: ExecutionCall) => Partial<EngineCapabilities>;
  /** Where services are, and when one may be called. This and the next three come of one feature at most. */
  services?: (call: ExecutionCall) => ServicesOfTask;
  /** Of a tenant: prepares calls of operations of services. */
  operations?: (tenantId: string) => AdapterContext['operation'];
  /** The secrets that tasks name. */
  secrets?: Pick<SecretsOfTasks, 'of'>;
  /** Where it is stored what adapters say. */
  taskLogs?: TaskLogStore;
  /** Who did what. One feature at most offers it. */
  audit?: Audit;
  /** Publishes what others decide. One feature at most offers it. */
  outbox?: Outbox;
  /** As in `ApiHooks`, for the port of the worker. */
  tokens?: VerifyToken;
  /** By channel of the database: what is notified there. */
  channels?: Readonly<Record<string, (payload: string) => void>>;
  /** Adds metrics of its own to those of the process. */
  registerMetrics?: (registry: Registry) => void;
  /** Called with the run after each commit of one of its tasks here, and of its end. It must not wait. */
  onCommitted?: (run: RunRow) => void;
  /** Called with each decision of the outbound policy. */
  onDecision?: (decision: EgressDecision) => void;
  /** Before the worker takes anything. */
  ready?: () => Promise<unknown>;
  /** Its work in the background, until the signal aborts. */
  work?: (signal: AbortSignal) => Promise<unknown>;
  /** When no task runs any more and `work` has ended. */
  close?: () => Promise<void>;
}

/** What the trunk of a worker offers. */
export interface WorkerParts {
  config: Config;
  /** The name of this worker. */
  worker: string;
  pool: pg.Pool;
  /** Over that pool. */
  prisma: PrismaClient;
  backend: Backend;
  queue: ReturnType<typeof createFlowQueue>;
  /** One whose commands do not wait for a store that is away. */
  briefQueue: ReturnType<typeof createFlowQueue>;
  /** Takes runs in as the API does. */
  accept: AcceptRuns;
  catalogue: ReturnType<typeof createCatalogue>;
  expressions: Expressions;
  plans: Plans;
  runs: RunStore;
  tasks: Pick<TaskStore, 'wake'>;
  children: ChildStore;
  cancelRun: CancelRuns['cancelRun'];
  /** Of all features. */
  tables: TenantTables;
  fetch: Egress['fetch'];
  /** As the feature that offers one has it; what is written before all are open is lost. */
  audit: Audit;
  /** As the feature that offers one has it, once all are open; undefined: nothing is published. */
  outbox(): Outbox | undefined;
  /** Undefined: the calls that are made are not written down. */
  callSpans: CallSpans | undefined;
  failpoint: Failpoint;
  /** Milliseconds of the database's clock. */
  now(): number;
  log: Logger;
}
