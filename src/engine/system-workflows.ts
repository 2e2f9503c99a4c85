/**
 * The service's own workflows in the tenants that need them. A tenant gets its own with the first need; a release whose
 * definition is another one adds a version, and releases that run side by side each use theirs.
 */
import { createHash } from 'node:crypto';
import type { Definition } from '../domain/definition.ts';
import { OrchestratorError } from '../domain/errors.ts';
import { isSystemId, nameInAlias, SYSTEM_TAG, type SystemWorkflow, systemAlias } from '../domain/system-workflow.ts';
import { SYSTEM_WORKFLOWS } from '../domain/system-workflows.ts';
import type { JsonObject } from '../schemas/json.ts';
import type { WorkflowHead, WorkflowStore } from './read-models.ts';
import { requestHash } from './request-hash.ts';

export interface SystemWorkflowStore {
  /** The number of the version with that content, which is made when there is none: one, however many ask at the same time. */
  keep(tenantId: string, id: string, definition: Definition, content: string): Promise<number>;
}

export interface SystemWorkflows {
  /** The tenant's own workflow, and the version that this release means. */
  ensure(tenantId: string, name: string): Promise<{ id: string; version: number }>;
  /** The id of the tenant's own for `system:<name>`; any other id is given back. */
  idOf(tenantId: string, workflowId: string): Promise<string>;
}

export interface SystemWorkflowDeps {
  workflows: readonly SystemWorkflow[];
  store: SystemWorkflowStore;
  /** As of a definition that a client sends. */
  normalise(body: JsonObject): { definition: Definition };
}

/** Where a definition says which content it has. */
export const CONTENT = 'content';
const TENANTS_KNOWN = 10_000;

export function createSystemWorkflows(deps: SystemWorkflowDeps): SystemWorkflows {
  const byName = new Map(deps.workflows.map((workflow) => [workflow.name, workflow]));
  const canonical = new Map<string, { definition: Definition; content: string }>();
  // Nobody can delete what is there, so it need not be looked for again.
  const kept = new Map<string, Promise<{ id: string; version: number }>>();

  function canonicalOf({ name, definition }: SystemWorkflow): { definition: Definition; content: string } {
    const known = canonical.get(name);
    if (known !== undefined) return known;
    const made = deps.normalise({ ...definition, name: systemAlias(name), tags: [SYSTEM_TAG] }).definition;
    const content = requestHash(made);
    const whole = { definition: { ...made, metadata: { [CONTENT]: content } }, content };
    canonical.set(name, whole);
    return whole;
  }

  async function keep(tenantId: string, workflow: SystemWorkflow): Promise<{ id: string; version: number }> {
    for (const used of workflow.uses ?? []) await ensure(tenantId, used);
    const id = systemWorkflowId(tenantId, workflow.name);
    const { definition, content } = canonicalOf(workflow);
    return { id, version: await deps.store.keep(tenantId, id, definition, content) };
  }

  function ensure(tenantId: string, name: string): Promise<{ id: string; version: number }> {
    const workflow = byName.get(name);
    if (workflow === undefined) throw new Error(`the service has no workflow of its own called ${name}`);
    const id = systemWorkflowId(tenantId, name);
    const known = kept.get(id);
    if (known !== undefined) return known;
    const making = keep(tenantId, workflow);
    kept.set(id, making);
    making.catch(() => kept.delete(id));
    for (const oldest of kept.keys()) {
      if (kept.size <= TENANTS_KNOWN) break;
      kept.delete(oldest);
    }
    return making;
  }

  return {
    ensure,
    async idOf(tenantId, workflowId) {
      const name = nameInAlias(workflowId);
      if (name === undefined || !byName.has(name)) return workflowId;
      return (await ensure(tenantId, name)).id;
    },
  };
}

/** The same wherever it is asked for; a tenant may be called anything. */
export function systemWorkflowId(tenantId: string, name: string): string {
  return `${systemAlias(name)}:${createHash('sha256').update(tenantId).digest('hex').slice(0, 32)}`;
}

const NAMES: ReadonlySet<string> = new Set(SYSTEM_WORKFLOWS.map(({ name }) => name));

/** For whoever needs no more than the id, because the workflow is there: it was made with the one that begins it. */
export function ownIdOf(tenantId: string, workflowId: string): string {
  const name = nameInAlias(workflowId);
  return name !== undefined && NAMES.has(name) ? systemWorkflowId(tenantId, name) : workflowId;
}

type FindHead = (tenantId: string, workflowId: string) => Promise<WorkflowHead | undefined>;

/** Only for what may be an alias is anything asked. */
export function headsWithSystem(find: FindHead, system: SystemWorkflows): FindHead {
  return async (tenantId, id) => find(tenantId, isSystemId(id) ? await system.idOf(tenantId, id) : id);
}

/**
 * The keeping of workflows, for every door: `system:<name>` names the tenant's own, which may be paused and not changed or
 * deleted, because the next release would not find what it left.
 */
export function withSystemWorkflows<Store extends WorkflowStore>(workflows: Store, system: SystemWorkflows): Store {
  async function refuseSystem(tenantId: string, id: string): Promise<void> {
    if (!isSystemId(id) || (await workflows.find(tenantId, id)) === undefined) return;
    throw new OrchestratorError(
      'forbidden',
      'This workflow is the service’s own: it can be paused, and neither be changed nor deleted',
    );
  }
  return {
    ...workflows,
    find: async (tenantId, id, version) => workflows.find(tenantId, await system.idOf(tenantId, id), version),
    async update(tenantId, userId, alias, change) {
      const id = await system.idOf(tenantId, alias);
      if (change.definition !== undefined) await refuseSystem(tenantId, id);
      return workflows.update(tenantId, userId, id, change);
    },
    async setCanary(tenantId, alias, canary) {
      const id = await system.idOf(tenantId, alias);
      await refuseSystem(tenantId, id);
      return workflows.setCanary(tenantId, id, canary);
    },
    async promoteCanary(tenantId, alias) {
      const id = await system.idOf(tenantId, alias);
      await refuseSystem(tenantId, id);
      return workflows.promoteCanary(tenantId, id);
    },
    async remove(by, alias, operationId) {
      const id = await system.idOf(by.tenantId, alias);
      await refuseSystem(by.tenantId, id);
      return workflows.remove(by, id, operationId);
    },
  };
}
