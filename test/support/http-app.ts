/** The HTTP door on a free port, over use cases that keep what they were asked: for what is a matter of HTTP alone. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Express } from 'express';
import { endpointsOf } from '../../src/compose/features.ts';
import type { Definition } from '../../src/domain/definition/definition.ts';
import { OrchestratorError } from '../../src/domain/errors.ts';
import type { Fault } from '../../src/domain/health/system-faults.ts';
import type { StoredWorkflow } from '../../src/engine/ports/read-models.ts';
import type { RunResult, RunSummary, RunView } from '../../src/engine/ports/run-views.ts';
import type { SecretView } from '../../src/engine/ports/secrets.ts';
import type { AcceptedRun, Caller, ExecuteRequest, TaskRequest } from '../../src/engine/ports/use-cases.ts';
import { createDeleteWorkflow } from '../../src/engine/workflows/delete-workflow.ts';
import { createWorkflows } from '../../src/engine/workflows/workflows.ts';
import type { ApiKey } from '../../src/features/access/api-key-ports.ts';
import { loginFor } from '../../src/features/access/login-routes.ts';
import { acceptSignedEvents } from '../../src/features/events/signed-events.ts';
import type { ScheduleView } from '../../src/features/schedules/manage-schedules.ts';
import { asConfigured } from '../../src/features/services/registry.ts';
import type { Webhook, WebhookDelivery } from '../../src/features/webhooks/ports.ts';
import { createIdentify, type IdentifyDeps } from '../../src/http/auth/identify.ts';
import { createHttpApp } from '../../src/http/server/app.ts';
import { createLinks } from '../../src/http/server/links.ts';
import { bind } from '../../src/http/server/operation.ts';
import { createHttpServer, type ServedBeside } from '../../src/http/server/server.ts';
import { parseDefinition } from '../../src/schemas/definition.ts';
import type { JsonObject } from '../../src/schemas/json.ts';
import { emptyCatalog } from './empty-catalog.ts';
import type { HttpDeps, TestConfig } from './http-deps.ts';

export const NOW = new Date('2030-01-01T12:00:00.000Z');
export const UNREACHABLE = Object.assign(new Error('connect ECONNREFUSED 10.0.0.7:5432'), { code: 'ECONNREFUSED' });

const API_KEY: ApiKey = {
  ...{
    id: 'key-1',
    tenantId: 'default',
    name: 'import',
    prefix: 'orch_AAAAAAAA',
    roles: ['operator'],
    scopes: undefined,
  },
  ...{ createdBy: 'anna', createdAt: NOW, expiresAt: null, rotatedAt: null, previousUntil: null },
  ...{ lastUsedAt: null, revokedAt: null },
};
const DECISION = { verdict: 'approved' as const, by: 'anna', comment: null, at: NOW };
const SERVICE = asConfigured('doc_store', 'http://doc-store:5010', undefined);
const ERASURE = {
  ...{ id: 'erasure', tenantId: 'default', subject: null, force: false, status: 'pending' as const, removed: {} },
  ...{ requestedBy: 'anna', requestedAt: NOW, finishedAt: null },
};
const OPERATION = {
  ...{ id: 'operation', tenantId: 'default', workflowId: 'workflow-1', kind: 'cancel' as const, requestedBy: 'anna' },
  ...{ status: 'running' as const, reason: null, total: 7, done: 1, skipped: 0, failed: 0, error: null },
  ...{ requestedAt: NOW, finishedAt: null },
};
const CLAIM = {
  ...{ runId: 'run-1', epoch: 1, actionId: 'review', verdict: 'approved' as const, for: 'anna' },
  expiresAt: NOW,
};

export interface Door {
  url: string;
  port: number;
  asked: {
    tasks: Array<{ caller: Caller; request: TaskRequest; key: string | undefined }>;
    executions: ExecuteRequest[];
    cancelled: string[];
    retried: string[];
    /** `GET <token>`, `POST <token> <comment>`. */
    links: string[];
  };
  logged: Array<{ event: string; fields: object | undefined }>;
  /** Thrown by the next call of a use case. */
  failWith(error: unknown): void;
  results: Map<string, RunResult>;
  executions: RunSummary[];
  workflows: Map<string, StoredWorkflow>;
  /** Called when a wait begins. */
  onWait: { call: (runId: string) => Promise<boolean> };
  health: { database: boolean; redis: boolean | null };
  /** For which tasks cannot be committed. */
  fault: Fault | undefined;
  fetch(path: string, init?: RequestInit): Promise<Response>;
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Response>;
  /** How many are open. */
  connections(): Promise<number>;
  /** As a process that ends does: what has started may end. */
  closeGently(): void;
  close(): Promise<void>;
}

/** What the door is configured with; without keys nothing is required. */
export type DoorConfig = Partial<TestConfig> & Partial<IdentifyDeps>;

export async function openDoor(
  config: DoorConfig = {},
  instead: Partial<HttpDeps> = {},
  beside: ServedBeside = {},
): Promise<Door> {
  const { door, deps } = memory(config);
  const server = createHttpServer(appOf({ ...deps, ...instead }), undefined, undefined, beside);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  door.port = (server.address() as AddressInfo).port; // It listens on a port.
  door.url = `http://127.0.0.1:${door.port}`;
  door.connections = () =>
    new Promise((resolve, reject) => server.getConnections((error, count) => (error ? reject(error) : resolve(count))));
  door.closeGently = () => {
    server.closeIdleConnections();
    server.close();
  };
  door.close = async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  return door;
}

const ENDPOINTS = await endpointsOf();

/** All that there is, served over these. */
export function appOf(deps: HttpDeps): Express {
  const { config, clock, limits, login } = deps;
  const { inboundWebhookSecrets: secrets, bodyLimitBytes } = config;
  const core = {
    ...deps,
    loginFor: login && loginFor(login),
    before: acceptSignedEvents({ secrets, bodyLimitBytes, clock, limits }),
  };
  // HttpDeps has what each of them needs: what is forgotten there shows as soon as it is asked for.
  const needs = { ...deps, ...workflowChanges(deps), links: createLinks(config.publicUrl) };
  return createHttpApp(core, bind(ENDPOINTS, needs as never));
}

/** The use cases themselves, over the store that `deps` has. */
function workflowChanges({ workflows: store, definitions: rules, actionTypes, operations, newId }: HttpDeps) {
  const changing = {
    store,
    rules,
    actionTypes,
    system: { idOf: async (_: string, id: string) => id },
    beforeSave: () => [],
  };
  return {
    workflows: createWorkflows(changing),
    deleteWorkflow: createDeleteWorkflow({ ...changing, operations, newId }),
  };
}

export function memory({
  required,
  apiKeys = [],
  madeKeys,
  certificates,
  jwt,
  trustedCallers,
  metricsTokens,
  sessions,
  ...config
}: DoorConfig = {}): {
  door: Door;
  deps: HttpDeps;
} {
  let nextError: unknown;
  const guarded = <T>(value: T): Promise<T> => {
    const error = nextError;
    nextError = undefined;
    return error === undefined ? Promise.resolve(value) : Promise.reject(error);
  };
  const door: Door = {
    url: '',
    port: 0,
    asked: { tasks: [], executions: [], cancelled: [], retried: [], links: [] },
    logged: [],
    failWith: (error) => {
      nextError = error;
    },
    results: new Map(),
    executions: [],
    workflows: new Map(),
    onWait: { call: () => Promise.resolve(false) },
    health: { database: true, redis: true },
    fault: undefined,
    fetch: (path, init) => fetch(`${door.url}${path}`, init),
    post: (path, body, headers = {}) =>
      door.fetch(path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      }),
    connections: () => Promise.resolve(0),
    closeGently: () => undefined,
    close: () => Promise.resolve(),
  };
  const keep = (event: string, fields?: object) => void door.logged.push({ event, fields });
  const workflowOf = (tenantId: string, id: string) => door.workflows.get(`${tenantId}/${id}`);
  let made = 0;
  const run = (workflowId: string | null): AcceptedRun => {
    made += 1;
    return {
      id: `run-${made}`,
      status: 'pending',
      workflowId,
      workflowVersion: workflowId === null ? null : 1,
      createdAt: NOW,
      warnings: [],
      repeated: false,
    };
  };
  const deps: HttpDeps = {
    config: {
      corsOrigins: ['*'],
      bodyLimitBytes: 1024 * 1024,
      auditReads: false,
      publicUrl: undefined,
      version: '9.9.9',
      tenantWeights: new Map(),
      inboundWebhookSecrets: new Map(),
      ...config,
    },
    log: { debug: keep, info: keep, warn: keep, error: keep },
    identify: createIdentify({
      required: required ?? (apiKeys.length > 0 || jwt !== undefined),
      ...{ apiKeys, madeKeys, jwt, certificates, trustedCallers, metricsTokens, sessions },
    }),
    apiKeys: {
      create: () => guarded({ apiKey: API_KEY, key: 'orch_key' }),
      list: () => guarded({ items: [API_KEY], total: 1 }),
      get: () => guarded(API_KEY),
      rotate: () => guarded({ apiKey: API_KEY, key: 'orch_key' }),
      revoke: () => guarded(undefined),
    },
    loginSessions: {
      list: () => guarded({ items: [], total: 0 }),
      end: () => guarded(true),
    },
    clock: { now: () => NOW },
    inTenant: (_caller, work) => work(),
    accept: {
      acceptTask(caller, request, key) {
        door.asked.tasks.push({ caller, request, key });
        return guarded(run(null));
      },
      acceptTasks(_caller, requests) {
        return guarded(
          requests.map((request) =>
            request.task_type === 'unknown'
              ? { code: 'unknown_task_type' as const, detail: 'no such type', errors: [] }
              : run(null),
          ),
        );
      },
      executeWorkflow(_caller, workflowId, request) {
        door.asked.executions.push(request);
        return guarded(run(workflowId));
      },
      executeWorkflowMany(_caller, workflowId, requests) {
        return guarded(requests.map(() => run(workflowId)));
      },
      dryRun: () => guarded({ order: ['a', 'b'] }),
    },
    cancel: {
      cancelRun(_caller, runId) {
        door.asked.cancelled.push(runId);
        return guarded('cancelling' as const);
      },
    },
    retry: {
      retryRun(_caller, runId) {
        door.asked.retried.push(runId);
        return guarded({ status: 'queued' as const, epoch: 2, reopened: 1 });
      },
    },
    rerun: {
      planRerun: (caller) =>
        guarded({
          epoch: 2,
          tenantId: caller.tenantId,
          userId: 'u',
          workflowId: null,
          workflowVersion: null,
          reopened: [],
          kept: 0,
        }),
      rerun: () => guarded({ status: 'queued' as const, epoch: 2, reopened: 1 }),
    },
    pause: {
      pauseRun: () => guarded('paused' as const),
      resumeRun: () => guarded('running' as const),
      pauseRuns: () => guarded({ changed: [], left: [] }),
      resumeRuns: () => guarded({ changed: [], left: [] }),
    },
    bulk: {
      plan: () => guarded({ matched: 0, runs: 0, actions: 0, users: {}, workflows: {}, actsAgain: [] }),
      carryOut: () => guarded({ matched: 0, runs: 0 }),
    },
    pauseWorkflows: {
      pause: () => guarded({ status: 'paused' as const, operation: undefined }),
      resume: () => guarded({ status: 'active' as const, operation: undefined }),
    },
    operations: {
      start: (_caller, id) => guarded({ ...OPERATION, id }),
      find: () => guarded(OPERATION),
    },
    lanes: { list: () => guarded([]), pause: () => guarded(undefined), resume: () => guarded(undefined) },
    controlEvents: {
      workflowPausedBy: () => guarded(undefined),
      list: () => guarded({ items: [], more: false }),
    },
    approvals: {
      decide: () => guarded({ decision: DECISION, repeated: false }),
      list: () => guarded({ items: [], total: 0 }),
      issueLinks: () => guarded({ tokens: { approve: 'a.b', reject: 'c.d' }, sentBy: undefined, expiresAt: NOW }),
      viewLink: (token) => {
        door.asked.links.push(`GET ${token}`);
        return guarded({ claim: CLAIM, message: 'Pay <b>42</b>?', deadline: undefined });
      },
      decideByLink: (token, comment) => {
        door.asked.links.push(`POST ${token} ${comment ?? ''}`);
        return guarded({ claim: CLAIM, decision: DECISION });
      },
    },
    signals: {
      send: () => guarded({ actionId: null, repeated: false }),
      sendTo: () => guarded({ actionId: null, repeated: false }),
    },
    byHand: { skip: () => guarded({ overridden: false }), complete: () => guarded({ overridden: false }) },
    deadLetters: {
      list: () => guarded({ items: [], total: 0, more: false }),
      stats: () => guarded({ failed: 0, retryable: 0, retried: 0, oldest: null, newest: null }),
      retry: () => guarded({ retried: 0, total: 0, runs: 0 }),
      discard: () => guarded({ discarded: 0, total: 0 }),
    },
    logs: { page: () => guarded(undefined) },
    errorGroups: {
      list: () => guarded({ items: [], total: 0, more: false }),
      find: () => guarded(undefined),
      setState: () => guarded(undefined),
      retry: () => guarded({ matched: 0, runs: 0 }),
    },
    audit: { write: () => Promise.resolve(), note: () => undefined, denied: () => undefined },
    auditLog: { list: () => guarded({ entries: [], more: false }) },
    tenantWeights: {
      find: () => guarded(undefined),
      set: (tenantId, weight, setBy) => guarded({ tenantId, weight, setBy, updatedAt: NOW }),
      remove: () => guarded(undefined),
    },
    tenantData: {
      preview: () => guarded({ rows: {}, active: 0 }),
      request: () => guarded(ERASURE),
      find: () => guarded(ERASURE),
      async *rows() {},
    },
    sagas: {
      stats: () =>
        guarded({
          ...{ total: 0, active: 0, completed: 0, compensated: 0 },
          averageSeconds: 0,
          since: null,
        }),
      find: () => guarded(undefined),
    },
    lateEffects: {
      list: () => guarded({ items: [], more: false }),
      ofRun: () => guarded([]),
    },
    traces: {
      stats: () => guarded({ total: 0, active: 0, failed: 0, seconds: 0, since: null }),
      trace: () => guarded({ records: { runs: [], tasks: [], attempts: [], calls: [], truncated: false }, now: NOW }),
      ofService: () => guarded({ traces: [], total: 0 }),
    },
    events: {
      follow: () => guarded('unknown' as const),
      page: () => guarded(undefined),
    },
    schedules: {
      create: () => guarded(scheduleView()),
      get: () => guarded(scheduleView()),
      list: () => guarded({ items: [scheduleView()], total: 1 }),
      update: () => guarded(scheduleView()),
      setPaused: () => guarded(scheduleView()),
      remove: () => guarded(undefined),
      trigger: () => guarded(run('flow')),
    },
    externalTasks: {
      poll: () => guarded([]),
      heartbeat: () => guarded({ leaseUntil: NOW, deadline: NOW }),
      complete: () => guarded({ runId: 'run-1', epoch: 1, actionId: 'a' }),
      fail: () => guarded({ runId: 'run-1', epoch: 1, actionId: 'a' }),
      list: () => guarded({ items: [], total: 0, topics: [] }),
    },
    secrets: {
      put: () => guarded({ secret: secretRow(), created: true }),
      list: () => guarded({ items: [secretRow()], total: 1 }),
      get: () => guarded(secretRow()),
      remove: () => guarded(undefined),
    },
    webhooks: {
      create: () => guarded({ webhook: webhookRow(), secret: 'whsec_c2VjcmV0' }),
      list: () => guarded({ items: [webhookRow()], total: 1 }),
      get: () => guarded(webhookRow()),
      update: () => guarded(webhookRow()),
      remove: () => guarded(undefined),
      test: () => guarded(deliveryRow()),
      deliveries: () => guarded({ items: [deliveryRow()], total: 1 }),
      retry: () => guarded(deliveryRow()),
    },
    registry: {
      register: () => guarded(1),
      list: () => guarded([SERVICE]),
      circuits: () => guarded([]),
      get: () => guarded(SERVICE),
      remove: () => guarded(undefined),
      heartbeat: () => guarded({ expiresAt: NOW }),
    },
    peers: {
      list: () => guarded([]),
      sync: () => guarded({ sent: 0, peers: 0, pending: 0 }),
      receive: () => guarded({ id: 'installation', results: [] }),
    },
    serviceApis: {
      document: () =>
        guarded({
          service: 'documents',
          url: 'http://documents/openapi.json',
          hash: '0',
          title: null,
          version: null,
          fetchedAt: NOW,
          changedAt: NOW,
          document: { openapi: '3.1.0' },
          operations: 0,
        }),
      operations: () => guarded({ service: 'documents', operations: new Map() }),
      drifts: () => guarded({ service: 'documents', drifts: [] }),
    },
    documents: { find: () => guarded(undefined) },
    record: () => guarded(undefined),
    newId: () => 'new-id',
    system: {
      start: () => guarded(run('system')),
      runAndWait: () => guarded({ accepted: run('system'), ended: undefined }),
    },
    incoming: { receive: () => guarded({ accepted: 0, repeated: 0, outcomes: [], pending: [] }) },
    eventLog: {
      history: () => guarded({ events: [], more: false, total: 0 }),
      replay: (_caller, _filter, { target }) =>
        guarded({ ids: [], target: target ?? { webhooks: true as const }, executionId: undefined }),
      clear: () => guarded(0),
    },
    wait: { waitUntilFinal: (runId) => door.onWait.call(runId) },
    engineHealth: {
      report: () =>
        guarded({
          status: door.health.database ? ('healthy' as const) : ('unhealthy' as const),
          databaseConnected: door.health.database,
          queueConnected: true,
          active: 0,
          queued: 0,
          stuck: 0,
          lanes: [],
          workers: [],
          sweep: null,
          problems: [],
          faults: [],
        }),
    },
    systemHealth: { report: () => guarded({ status: 'healthy' as const, services: {} }) },
    why: { explain: () => guarded(undefined) },
    problems: {
      find: () => guarded([]),
      ofLane: (_caller, lane) =>
        guarded({ lane, status: 'idle', summary: '', paused: false, counts: null, workers: [], problems: [] }),
    },
    health: { check: () => Promise.resolve({ ...door.health, problems: [] }) },
    writePath: { fault: () => door.fault, lastFault: () => door.fault },
    needsRepair: () => undefined,
    actionTypes: {
      list: () => [
        {
          action_type: 'test_task',
          description: 'Echo',
          aliases: [],
          idempotent: false,
          config_schema: {},
          output_schema: {},
        },
      ],
      names: () => ['test_task'],
      permissionOf: () => undefined,
      canonical: (type) => (type === 'test_task' ? type : undefined),
      check: () => [],
    },
    workflows: {
      create(tenantId, userId, definition) {
        const id = `workflow-${door.workflows.size + 1}`;
        const stored: StoredWorkflow = {
          id,
          version: 1,
          currentVersion: 1,
          status: 'active',
          definition,
          createdBy: userId,
          createdAt: NOW,
          updatedAt: NOW,
        };
        door.workflows.set(`${tenantId}/${id}`, stored);
        return guarded(stored);
      },
      find: (tenantId, id, version) => {
        const found = workflowOf(tenantId, id);
        return guarded(version === undefined || version === found?.version ? found : undefined);
      },
      resolve: (tenantId, id) => guarded(workflowOf(tenantId, id)),
      existed: (tenantId, id) => guarded(workflowOf(tenantId, id) !== undefined),
      list: () => guarded({ items: [], total: 0 }),
      versions: (tenantId, id) => guarded(workflowOf(tenantId, id) === undefined ? undefined : { items: [], total: 0 }),
      update(tenantId, _userId, id, change) {
        const found = workflowOf(tenantId, id);
        if (found === undefined) return guarded({ done: 'unknown' as const });
        if (found.version !== change.expectedVersion)
          return guarded({ done: 'stale' as const, version: found.version });
        const version = found.version + (change.definition === undefined ? 0 : 1);
        const changed = {
          ...found,
          version,
          currentVersion: version,
          definition: change.definition ?? found.definition,
          status: change.status ?? found.status,
        };
        door.workflows.set(`${tenantId}/${id}`, changed);
        return guarded({ done: 'updated' as const, workflow: changed });
      },
      setCanary: (tenantId, id) => guarded(workflowOf(tenantId, id) === undefined ? 'unknown' : 'done'),
      promoteCanary: () => guarded(undefined),
      remove: ({ tenantId }, id, operationId) => {
        if (workflowOf(tenantId, id) === undefined) return guarded('unknown' as const);
        if (door.executions.length === 0) return guarded('removed' as const);
        return guarded(operationId === undefined ? ('active' as const) : ('cancelling' as const));
      },
    },
    ...emptyCatalog(),
    runs: {
      result: (_tenantId, runId) => guarded(door.results.get(runId)),
      execution: () => guarded(undefined as RunView | undefined),
      parts: () => guarded(undefined),
      list: (_tenantId, _filter, window) => {
        const from =
          window.after === undefined
            ? window.skip
            : door.executions.findIndex((one) => one.id === window.after?.id) + 1;
        const items = door.executions.slice(from, from + window.limit);
        return guarded({ items, total: door.executions.length, more: from + window.limit < door.executions.length });
      },
    },
    definitions: {
      normalise: async (_tenantId, body) => normalise(body),
      merge: async (_tenantId, current, patch) => ({ ...current, ...(patch as Partial<Definition>) }),
    },
    isUnavailable: (error) => error === UNREACHABLE,
    board: (_request, response) => void response.end('the board'),
    metrics: {
      metrics: () => guarded('metrics 1\n'),
      getMetricsAsJSON: () => guarded([]),
    },
    effectiveConfig: {
      settings: { PORT: { value: 8000, source: 'default' } },
      services: {},
      secrets: {},
      without_effect: {},
    },
  };
  return { door, deps };
}

function normalise(body: JsonObject): { definition: Definition; tenantId: string | undefined } {
  const parsed = parseDefinition(body);
  if (!parsed.ok)
    throw new OrchestratorError('invalid_request', 'The definition is not valid', { errors: parsed.faults });
  const tenantId = typeof body['tenant_id'] === 'string' ? body['tenant_id'] : undefined;
  return { definition: { name: String(body['name']), tags: [], parameters: [], actions: [] }, tenantId };
}

export function executionNumber(number: number): RunSummary {
  return {
    id: `run-${number}`,
    workflowId: null,
    workflowVersion: null,
    status: 'completed',
    actionType: undefined,
    error: null,
    priority: 50,
    traceId: null,
    correlationId: null,
    tenantId: 'default',
    userId: 'anonymous',
    parent: null,
    createdAt: NOW,
    deadlineAt: null,
    startedAt: null,
    finishedAt: null,
  };
}

function secretRow(): SecretView {
  const by = { createdBy: 'anonymous', updatedBy: 'anonymous', createdAt: NOW, updatedAt: NOW };
  return { name: 'TOKEN', hosts: undefined, description: null, version: 1, ...by };
}

function webhookRow(): Webhook {
  const at = { createdAt: NOW, updatedAt: NOW, failingSince: null };
  const webhook = {
    id: 'webhook',
    tenantId: 'default',
    url: 'https://example.com/',
    events: ['*'],
    createdBy: 'anonymous',
  };
  return { ...webhook, ...at, description: null, active: true, disabledReason: null };
}

function deliveryRow(): WebhookDelivery {
  const of = { runId: 'run', actionId: null, epoch: 1, attempt: null, data: null, at: NOW };
  const delivery = {
    id: 'delivery',
    webhookId: 'webhook',
    kind: 'run.completed',
    status: 'pending' as const,
    attempts: 1,
  };
  return { ...delivery, ...of, dueAt: NOW, lastStatus: 500, lastError: 'answered 500', endedAt: null };
}

function scheduleView(): ScheduleView {
  const schedule = {
    id: 'schedule-1',
    tenantId: 'default',
    name: 'nightly',
    workflowId: 'flow',
    parameters: {},
    timing: { cron: '0 2 * * *', timezone: 'UTC' },
    timezone: 'UTC',
    overlap: 'skip' as const,
    catchupSeconds: 60,
    jitterSeconds: 0,
    paused: false,
    pauseReason: null,
    lastSlot: NOW.getTime(),
    createdBy: 'anonymous',
    createdAt: NOW,
    updatedAt: NOW,
  };
  return { schedule, nextRuns: [NOW.getTime() + 3_600_000], recent: [] };
}
