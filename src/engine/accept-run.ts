/** The acceptance of tasks and runs: validate, commit the row, add the first flow. An answer of 202 is a committed row. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { compileSegment, type FlowNode } from '../domain/compile.ts';
import type { ActionDefaults, Concurrency, Definition } from '../domain/definition.ts';
import { OrchestratorError } from '../domain/errors.ts';
import { checkParameters } from '../domain/parameters.ts';
import { WORKFLOW_ACTION } from '../domain/sub-workflows.ts';
import { ownProperty } from '../domain/templates.ts';
import type { DefinitionRef } from '../schemas/job.ts';
import type { JsonObject } from '../schemas/json.ts';
import type { Admission } from './admit.ts';
import { basisOf, versionFor, type WorkflowToRun, workflowToRun } from './choose-version.ts';
import type { Failpoint } from './failpoint.ts';
import type { Plans } from './plans.ts';
import type { NewRun, RunStore, StoredRun } from './ports.ts';
import type { StoredWorkflow, WorkflowHead, WorkflowStore } from './read-models.ts';
import { requestHash } from './request-hash.ts';
import { type EndReplaced, withConcurrency } from './run-concurrency.ts';
import { withDedupe } from './run-dedupe.ts';
import type {
  AcceptedRun,
  AcceptRuns,
  ActionTypes,
  Caller,
  ExecuteRequest,
  ItemFault,
  TaskRequest,
} from './use-cases.ts';
import { type TextChecker, withChecks } from './with-checks.ts';

export interface AcceptDeps {
  actionTypes: ActionTypes;
  /** Looks at expressions of tasks, and tries patterns on parameters. */
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

/** A run that passed every check and has only to be stored. */
interface Prepared {
  run: NewRun;
  warnings: string[];
}

export function createAcceptRuns(deps: AcceptDeps): AcceptRuns {
  async function prepareTask(
    caller: Caller,
    request: TaskRequest,
    idempotencyKey: string | undefined,
  ): Promise<Prepared> {
    const actionType = deps.actionTypes.canonical(request.task_type);
    if (actionType === undefined) return prepareWorkflowTask(caller, request, idempotencyKey);
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
    const run = newRun(caller, deps.newId(), of, request.params, request, idempotencyKey, { task: request });
    return { run, warnings: [] };
  }

  async function prepareWorkflowTask(
    caller: Caller,
    request: TaskRequest,
    idempotencyKey: string | undefined,
  ): Promise<Prepared> {
    const workflow = await deps.workflows.resolve(caller.tenantId, request.task_type);
    if (workflow === undefined) {
      const known = deps.actionTypes.names().join(', ');
      throw new OrchestratorError(
        'unknown_task_type',
        `Unknown task type '${request.task_type}'. Known types: ${known}; or the name of a workflow`,
        {
          errors: [{ path: 'task_type', message: `is neither one of ${known} nor a workflow` }],
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
      id,
      chosen === workflow.version ? workflow : await ofVersion(workflow, chosen),
      { ...request, parameters: request.params, strict: false },
      idempotencyKey,
      { task: request },
    );
  }

  async function ofVersion({ id, status }: StoredWorkflow, version: number): Promise<WorkflowToRun> {
    const { definition } = await deps.plans.of({ workflow_id: id, version });
    return { id, status, version, definition };
  }

  async function prepareExecution(
    caller: Caller,
    id: string,
    workflow: WorkflowToRun,
    request: ExecuteRequest,
    idempotencyKey: string | undefined,
    hashed: object,
  ): Promise<Prepared> {
    if (workflow.status !== 'active') {
      throw new OrchestratorError('workflow_paused', `The workflow is ${workflow.status} and accepts no executions`);
    }
    const { values, warnings } = await withChecks(deps.texts, caller.tenantId, (checks) =>
      checkParameters(workflow.definition.parameters, request.parameters, request.strict, checks),
    );
    const of = { workflow_id: workflow.id, version: workflow.version };
    const { timeout_seconds: timeoutSeconds, retention_days: retentionDays } = workflow.definition;
    const canBeUndone = workflow.definition.actions.some(({ compensate }) => compensate !== undefined);
    const saga = canBeUndone || request.saga === true ? (true as const) : undefined;
    const common = newRun(caller, id, of, values, request, idempotencyKey, hashed);
    const run = { ...common, timeoutSeconds, retentionDays, saga };
    return {
      run: withConcurrency(withDedupe(run, of, workflow.definition), of, workflow.definition),
      warnings,
    };
  }

  function newRun(
    caller: Caller,
    id: string,
    of: DefinitionRef,
    parameters: JsonObject,
    request: Pick<ExecuteRequest, 'priority' | 'delay_seconds' | 'correlation_id' | 'callback_url'>,
    idempotencyKey: string | undefined,
    hashed: object,
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

  /**
   * One statement for all that come together, then one way into the queue. A key that was used with another body is a
   * conflict of its own item.
   */
  async function store(prepared: readonly Prepared[]): Promise<Array<AcceptedRun | ItemFault>> {
    const stored = await Promise.all(
      prepared.map(async ({ run, warnings }) => ({ run, warnings, row: await deps.runs.accept(run) })),
    );
    await deps.failpoint('api.afterInsert');
    const fresh = stored.filter(({ run, row }) => row.inserted && run.delaySeconds === undefined && row.waits !== true);
    await deps.admission.admit(fresh.map(({ run }) => run));
    await deps.endReplaced(stored.flatMap(({ row }) => row.replaced ?? []));
    return stored.map(({ run, warnings, row }): AcceptedRun | ItemFault => {
      if (row.full !== undefined) return fullOf(row.full);
      if (row.deduplicated === true && run.dedupe?.policy === 'reject') return duplicateOf(row);
      if (!row.inserted && row.deduplicated !== true && (row.requestHash ?? undefined) !== run.requestHash) {
        const detail = `The idempotency key '${run.idempotencyKey ?? ''}' was used with another body`;
        return { code: 'idempotency_conflict', detail, errors: [] };
      }
      return {
        id: row.id,
        status: row.status,
        workflowId: 'workflow_id' in row.of ? row.of.workflow_id : null,
        workflowVersion: 'workflow_id' in row.of ? row.of.version : null,
        createdAt: row.createdAt,
        warnings,
        repeated: !row.inserted,
        ...(row.deduplicated === true ? { deduplicated: true } : {}),
      };
    });
  }

  async function storeOne(prepared: Prepared): Promise<AcceptedRun> {
    const [accepted] = await store([prepared]);
    if (accepted === undefined) throw new Error('nothing was stored');
    if ('code' in accepted)
      throw new OrchestratorError(accepted.code, accepted.detail, {
        errors: accepted.errors,
        executionId: accepted.executionId,
      });
    return accepted;
  }

  async function findHead(caller: Caller, id: string): Promise<WorkflowHead> {
    const head = await deps.workflowHead(caller.tenantId, id);
    if (head === undefined) throw new OrchestratorError('not_found', 'Workflow not found');
    return head;
  }

  async function prepareOf(caller: Caller, head: WorkflowHead, request: ExecuteRequest): Promise<Prepared> {
    const id = deps.newId();
    const { idempotency_key: key, ...body } = request;
    const workflow = await workflowToRun(deps.plans, head, request, basisOf(caller, key, request.correlation_id, id));
    return prepareExecution(caller, id, workflow, request, key, { workflowId: head.id, body });
  }

  /** Prepares every item, stores the good ones together, and puts faults and answers in the order of the items. */
  async function many<T>(
    items: readonly T[],
    prepare: (item: T) => Promise<Prepared>,
  ): Promise<Array<AcceptedRun | ItemFault>> {
    const prepared = await byPages(items, (page) => Promise.all(page.map((item) => prepare(item).catch(toItemFault))));
    const good = prepared.filter((item): item is Prepared => 'run' in item);
    const stored = await byPages(good, store);
    const answers = stored[Symbol.iterator]();
    return prepared.map((item) => {
      if (!('run' in item)) return item;
      const answer = answers.next();
      if (answer.done === true) throw new Error('fewer runs were stored than prepared');
      return answer.value;
    });
  }

  return {
    acceptTask: async (caller, request, idempotencyKey) => storeOne(await prepareTask(caller, request, idempotencyKey)),
    acceptTasks: (caller, requests) => many(requests, (request) => prepareTask(caller, request, undefined)),
    async executeWorkflow(caller, workflowId, request) {
      return storeOne(await prepareOf(caller, await findHead(caller, workflowId), request));
    },
    async executeWorkflowMany(caller, workflowId, requests) {
      const head = await findHead(caller, workflowId);
      return many(requests, (request) => prepareOf(caller, head, request));
    },
    async dryRun(caller, workflowId, request) {
      const { idempotency_key: key, correlation_id: correlationId } = request;
      const basis = basisOf(caller, key, correlationId, undefined);
      const workflow = await workflowToRun(deps.plans, await findHead(caller, workflowId), request, basis);
      const { run, warnings } = await prepareExecution(caller, 'dry-run', workflow, request, undefined, {});
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

function fullOf({ key, limit }: Concurrency): ItemFault {
  const detail = `Of the executions with the key '${key}' ${limit} are under way, as many as may be`;
  return { code: 'concurrency_limit', detail, errors: [] };
}

function duplicateOf({ id }: StoredRun): ItemFault {
  const detail = `Within the window of the workflow's dedupe the execution ${id} has the same key`;
  return { code: 'duplicate_run', detail, errors: [], executionId: id };
}

/** What they do is in a plan of their own. */
function subWorkflowsIn({ actions }: Definition): JsonObject {
  const named = actions
    .filter(({ action_type }) => action_type === WORKFLOW_ACTION)
    .map(({ action_id, config }): JsonObject => {
      const told = ['workflow_id', 'name', 'version'].flatMap((field) => {
        const value = ownProperty(config, field);
        return value === undefined ? [] : [[field, value] as const];
      });
      return { action_id, ...Object.fromEntries(told) };
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
