/**
 * The acceptance of tasks and runs, in steps: check the capacity, check the quota of the tenant, prepare, store, admit. What
 * one of the first three rejects has left no row, and an answer of 202 is a committed row.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ActionDefaults, Definition } from '../../domain/definition/definition.ts';
import { checkParameters } from '../../domain/definition/parameters.ts';
import { WORKFLOW_ACTION } from '../../domain/definition/sub-workflows.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import { compileSegment, type FlowNode } from '../../domain/graph/compile.ts';
import { ownProperty } from '../../domain/templates/templates.ts';
import type { DefinitionRef } from '../../schemas/job.ts';
import type { JsonObject } from '../../schemas/json.ts';
import type { Failpoint } from '../ports/failpoint.ts';
import type { StoredWorkflow, WorkflowHead, WorkflowStore } from '../ports/read-models.ts';
import type { NewRun, RunStore } from '../ports/runs.ts';
import type {
  AcceptedRun,
  AcceptRuns,
  ActionTypes,
  Caller,
  ExecuteRequest,
  ItemFault,
  TaskRequest,
} from '../ports/use-cases.ts';
import { checkTypePermission } from '../workflows/check-permissions.ts';
import { acceptedOrThrow, answerOf, inOrder, type Prepared, type Stored } from './accept-answers.ts';
import type { Admission } from './admit.ts';
import { basisOf, versionFor, type WorkflowToRun, workflowToRun } from './choose-version.ts';
import type { AcceptCapacity } from './limit-accepts.ts';
import type { Plans } from './plans.ts';
import { requestHash } from './request-hash.ts';
import { type EndReplaced, withConcurrency } from './run-concurrency.ts';
import { withDedupe } from './run-dedupe.ts';
import type { TenantQuota } from './tenant-quota.ts';
import { type TextChecker, withChecks } from './with-checks.ts';

export interface AcceptDeps {
  /** Of this process and of the queue's store. Undefined: what a worker accepts needs no check. */
  capacity?: AcceptCapacity;
  /** Of live runs and of queued ones, checked in this order. Undefined as above. */
  tenantQuotas?: readonly TenantQuota[];
  actionTypes: ActionTypes;
  /** Checks expressions of tasks, and tries patterns on parameters. */
  texts: TextChecker;
  workflows: Pick<WorkflowStore, 'resolve'>;
  /** Undefined: no such workflow, or it was deleted. */
  workflowHead(tenantId: string, id: string): Promise<WorkflowHead | undefined>;
  plans: Plans;
  runs: Pick<RunStore, 'accept'>;
  admission: Admission;
  /** Of runs that made room for one that was accepted. */
  endReplaced: EndReplaced;
  failpoint: Failpoint;
  /** For tasks that do not say. */
  defaults: ActionDefaults;
  newId(): string;
}

const DEFAULT_PRIORITY = 50;
/** Of a request with many: between them the event loop serves others. */
const ITEMS_AT_ONCE = 100;

/** What identifies a request: the id of its run, its key, and what a repetition of the key has to agree with. */
interface RequestIdentity {
  id: string;
  idempotencyKey: string | undefined;
  hashed: object;
}

export function createAcceptRuns(deps: AcceptDeps): AcceptRuns {
  async function prepareTask(
    caller: Caller,
    request: TaskRequest,
    idempotencyKey: string | undefined,
  ): Promise<Prepared> {
    const actionType = deps.actionTypes.canonical(request.task_type);
    if (actionType === undefined) return prepareWorkflowTask(caller, request, idempotencyKey);
    checkTypePermission(deps.actionTypes, caller, actionType);
    const faults = await withChecks(deps.texts, caller.tenantId, (checks) =>
      deps.actionTypes.check(actionType, request.params, checks),
    );
    if (faults.length > 0) {
      const errors = faults.map(({ path, message }) => ({ path: path === '' ? 'params' : `params.${path}`, message }));
      throw new OrchestratorError('invalid_request', `The parameters of '${request.task_type}' are not valid`, {
        errors,
      });
    }
    const of: DefinitionRef = {
      action_type: actionType,
      max_attempts: request.max_attempts ?? deps.defaults.retry.max_attempts,
      timeout_seconds: request.timeout_seconds ?? deps.defaults.timeout_seconds,
      initial_delay_seconds: deps.defaults.retry.initial_delay_seconds,
      multiplier: deps.defaults.retry.multiplier,
    };
    const named = { id: deps.newId(), idempotencyKey, hashed: { task: request } };
    const run = newRun(caller, named, { of, parameters: request.params }, request);
    return { run, warnings: [] };
  }

  async function prepareWorkflowTask(
    caller: Caller,
    request: TaskRequest,
    idempotencyKey: string | undefined,
  ): Promise<Prepared> {
    const workflow = await deps.workflows.resolve(caller.tenantId, request.task_type);
    if (workflow === undefined) {
      const types = deps.actionTypes.names().join(', ');
      throw new OrchestratorError(
        'unknown_task_type',
        `Unknown task type '${request.task_type}'. Known types: ${types}; or the name of a workflow`,
        {
          errors: [{ path: 'task_type', message: `is neither one of ${types} nor a workflow` }],
        },
      );
    }
    const errors = (['max_attempts', 'timeout_seconds'] as const)
      .filter((field) => request[field] !== undefined)
      .map((path) => ({ path, message: `'${request.task_type}' is a workflow: its actions say this themselves` }));
    if (errors.length > 0)
      throw new OrchestratorError('invalid_request', 'The request does not fit a workflow', { errors });
    const id = deps.newId();
    const chosen = versionFor(workflow, basisOf(caller, idempotencyKey, request.correlation_id, id));
    return prepareExecution(
      caller,
      { id, idempotencyKey, hashed: { task: request } },
      chosen === workflow.version ? workflow : await ofVersion(workflow, chosen),
      { ...request, parameters: request.params, strict: false },
    );
  }

  async function ofVersion({ id, status }: StoredWorkflow, version: number): Promise<WorkflowToRun> {
    const { definition } = await deps.plans.of({ workflow_id: id, version });
    return { id, status, version, definition };
  }

  async function prepareExecution(
    caller: Caller,
    named: RequestIdentity,
    workflow: WorkflowToRun,
    request: ExecuteRequest,
  ): Promise<Prepared> {
    if (workflow.status !== 'active') {
      throw new OrchestratorError('workflow_paused', `The workflow is ${workflow.status} and accepts no executions`);
    }
    const { values, warnings } = await withChecks(deps.texts, caller.tenantId, (checks) =>
      checkParameters(workflow.definition.parameters, request.parameters, request.strict, checks),
    );
    const of = { workflow_id: workflow.id, version: workflow.version };
    const { timeout_seconds: timeoutSeconds, retention_days: retentionDays } = workflow.definition;
    const hasCompensation = workflow.definition.actions.some(({ compensate }) => compensate !== undefined);
    const saga = hasCompensation || request.saga === true ? (true as const) : undefined;
    const common = newRun(caller, named, { of, parameters: values }, request);
    const run = { ...common, timeoutSeconds, retentionDays, saga, executionContext: request.execution_context };
    return {
      run: withConcurrency(withDedupe(run, of, workflow.definition), of, workflow.definition),
      warnings,
    };
  }

  function newRun(
    caller: Caller,
    { id, idempotencyKey, hashed }: RequestIdentity,
    { of, parameters }: Pick<NewRun, 'of' | 'parameters'>,
    request: Pick<ExecuteRequest, 'priority' | 'delay_seconds' | 'correlation_id' | 'callback_url'>,
  ): NewRun {
    return {
      id,
      tenantId: caller.tenantId,
      userId: caller.userId,
      of,
      parameters,
      priority: request.priority ?? DEFAULT_PRIORITY,
      delaySeconds: request.delay_seconds === 0 ? undefined : request.delay_seconds,
      correlationId: request.correlation_id ?? caller.correlationId,
      traceId: caller.traceId,
      parentSpanId: caller.parentSpanId,
      callbackUrl: request.callback_url,
      idempotencyKey,
      requestHash: idempotencyKey === undefined ? undefined : requestHash(hashed),
    };
  }

  /** Counts the runs as being accepted until the work is done, however it ends. */
  async function checkCapacity<T>(runs: number, work: () => Promise<T>): Promise<T> {
    const release = deps.capacity?.take(runs);
    try {
      return await work();
    } finally {
      release?.();
    }
  }

  async function checkTenantQuota(caller: Caller, runs: number): Promise<void> {
    for (const check of deps.tenantQuotas ?? []) await check(caller, runs);
  }

  /** One statement for all that come together. */
  async function store(prepared: readonly Prepared[]): Promise<Stored[]> {
    const stored = await Promise.all(
      prepared.map(async ({ run, warnings }) => ({ run, warnings, row: await deps.runs.accept(run) })),
    );
    await deps.failpoint('api.afterInsert');
    return stored;
  }

  /** Admits all that are new and may start at once. */
  async function admit(stored: readonly Stored[]): Promise<void> {
    const fresh = stored.filter(({ run, row }) => row.inserted && run.delaySeconds === undefined && row.waits !== true);
    await deps.admission.admit(fresh.map(({ run }) => run));
    await deps.endReplaced(stored.flatMap(({ row }) => row.replaced ?? []));
  }

  async function acceptOne(caller: Caller, prepare: () => Promise<Prepared>): Promise<AcceptedRun> {
    return checkCapacity(1, async () => {
      await checkTenantQuota(caller, 1);
      const prepared = await prepare();
      const stored = await store([prepared]);
      await admit(stored);
      return acceptedOrThrow(stored);
    });
  }

  /** `start`: reads what all items need, and says how each is prepared. Faults and answers are in the order of the items. */
  async function acceptMany<Item>(
    caller: Caller,
    items: readonly Item[],
    start: () => Promise<(item: Item) => Promise<Prepared>>,
  ): Promise<Array<AcceptedRun | ItemFault>> {
    return checkCapacity(items.length, async () => {
      await checkTenantQuota(caller, items.length);
      const prepare = await start();
      const prepared = await byPages(items, (page) =>
        Promise.all(page.map((item) => prepare(item).catch(toItemFault))),
      );
      const good = prepared.filter((item): item is Prepared => 'run' in item);
      const answers = await byPages(good, async (page) => {
        const stored = await store(page);
        await admit(stored);
        return stored.map(answerOf);
      });
      return inOrder(prepared, answers);
    });
  }

  async function findHead(caller: Caller, id: string): Promise<WorkflowHead> {
    const head = await deps.workflowHead(caller.tenantId, id);
    if (head === undefined) throw new OrchestratorError('not_found', 'Workflow not found');
    return head;
  }

  async function prepareOf(caller: Caller, head: WorkflowHead, request: ExecuteRequest): Promise<Prepared> {
    const { idempotency_key: key, execution_id: id = deps.newId(), ...body } = request;
    const workflow = await workflowToRun(deps.plans, head, request, basisOf(caller, key, request.correlation_id, id));
    return prepareExecution(
      caller,
      { id, idempotencyKey: key, hashed: { workflowId: head.id, body } },
      workflow,
      request,
    );
  }

  return {
    acceptTask: (caller, request, key) => acceptOne(caller, () => prepareTask(caller, request, key)),
    acceptTasks: (caller, requests) =>
      acceptMany(caller, requests, async () => (request) => prepareTask(caller, request, undefined)),
    executeWorkflow: (caller, workflowId, request) =>
      acceptOne(caller, async () => prepareOf(caller, await findHead(caller, workflowId), request)),
    executeWorkflowMany: (caller, workflowId, requests) =>
      acceptMany(caller, requests, async () => {
        const head = await findHead(caller, workflowId);
        return (request) => prepareOf(caller, head, request);
      }),
    async dryRun(caller, workflowId, request) {
      const { idempotency_key: key, correlation_id: correlationId } = request;
      const basis = basisOf(caller, key, correlationId, undefined);
      const workflow = await workflowToRun(deps.plans, await findHead(caller, workflowId), request, basis);
      const { run, warnings } = await prepareExecution(
        caller,
        { id: 'dry-run', idempotencyKey: undefined, hashed: {} },
        workflow,
        request,
      );
      const plan = await deps.plans.of(run.of);
      const flow = { runId: 'dry-run', epoch: 1, gen: 0, priority: run.priority, of: run.of };
      return {
        workflow_id: workflow.id,
        workflow_version: workflow.version,
        dry_run: true,
        parameters: run.parameters,
        warnings,
        order: plan.actions.map(({ action }) => action.action_id),
        ...subWorkflowsIn(plan.definition),
        flows: plan.segments.flatMap((_, segment) => compileSegment(plan, segment, flow).map(describeTree)),
      };
    },
  };
}

/** What they do is in a plan of their own. */
function subWorkflowsIn({ actions }: Definition): JsonObject {
  const named = actions
    .filter(({ action_type }) => action_type === WORKFLOW_ACTION)
    .map(({ action_id, config }): JsonObject => {
      const reference = ['workflow_id', 'name', 'version'].flatMap((field) => {
        const value = ownProperty(config, field);
        return value === undefined ? [] : [[field, value] as const];
      });
      return { action_id, ...Object.fromEntries(reference) };
    });
  return named.length === 0 ? {} : { sub_workflows: named };
}

function describeTree({ queue, name, children }: FlowNode): JsonObject {
  return { job: name, queue, ...(children.length === 0 ? {} : { waits_for: children.map(describeTree) }) };
}

async function byPages<T, R>(items: readonly T[], work: (page: readonly T[]) => Promise<R[]>): Promise<R[]> {
  const done: R[] = [];
  for (let at = 0; at < items.length; at += ITEMS_AT_ONCE) {
    if (at > 0) await nextTurn();
    done.push(...(await work(items.slice(at, at + ITEMS_AT_ONCE))));
  }
  return done;
}

function toItemFault(error: unknown): ItemFault {
  if (!(error instanceof OrchestratorError) || error.status >= 500) throw error;
  return { code: error.code, detail: error.message, errors: error.errors };
}
