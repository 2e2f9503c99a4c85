/**
 * The service's own workflows in the tenants that need them. A tenant gets its own with the first need; a release whose
 * definition is another one adds a version, and releases that run side by side each use theirs.
 */

import { createHash } from 'node:crypto';
import type { Definition } from '../../domain/definition/definition.ts';
import {
  isSystemId,
  nameInAlias,
  SYSTEM_TAG,
  type SystemWorkflow,
  systemAlias,
} from '../../domain/definition/system-workflow.ts';
import type { JsonObject } from '../../schemas/json.ts';
import type { WorkflowHead } from '../ports/read-models.ts';
import type { SystemWorkflowStore } from '../ports/system-workflows.ts';
import { CONTENT } from '../ports/system-workflows.ts';
import { requestHash } from './request-hash.ts';

export interface SystemWorkflows {
  /** The tenant's own workflow, and the version that this release means. */
  ensure(tenantId: string, name: string): Promise<{ id: string; version: number }>;
  /** The id of the tenant's own for `system:<name>`; any other id is returned as it is. */
  idOf(tenantId: string, workflowId: string): Promise<string>;
}

export interface SystemWorkflowDeps {
  workflows: readonly SystemWorkflow[];
  store: SystemWorkflowStore;
  /** As of a definition that a client sends. */
  normalise(body: JsonObject): { definition: Definition };
}

const MAX_CACHED_WORKFLOWS = 10_000;

export function createSystemWorkflows(deps: SystemWorkflowDeps): SystemWorkflows {
  const byName = new Map(deps.workflows.map((workflow) => [workflow.name, workflow]));
  const canonical = new Map<string, { definition: Definition; content: string }>();
  // Nobody can delete what is there, so it need not be read again.
  const cache = new Map<string, Promise<{ id: string; version: number }>>();

  function canonicalOf({ name, definition }: SystemWorkflow): { definition: Definition; content: string } {
    const cached = canonical.get(name);
    if (cached !== undefined) return cached;
    const made = deps.normalise({ ...definition, name: systemAlias(name), tags: [SYSTEM_TAG] }).definition;
    const content = requestHash(made);
    const entry = { definition: { ...made, metadata: { [CONTENT]: content } }, content };
    canonical.set(name, entry);
    return entry;
  }

  async function ensureStored(tenantId: string, workflow: SystemWorkflow): Promise<{ id: string; version: number }> {
    for (const used of workflow.uses ?? []) await ensure(tenantId, used);
    const id = systemWorkflowId(tenantId, workflow.name);
    const { definition, content } = canonicalOf(workflow);
    return { id, version: await deps.store.ensureVersion(tenantId, id, definition, content) };
  }

  function ensure(tenantId: string, name: string): Promise<{ id: string; version: number }> {
    const workflow = byName.get(name);
    if (workflow === undefined) throw new Error(`the service has no workflow of its own called ${name}`);
    const id = systemWorkflowId(tenantId, name);
    const cached = cache.get(id);
    if (cached !== undefined) return cached;
    const making = ensureStored(tenantId, workflow);
    cache.set(id, making);
    making.catch(() => cache.delete(id));
    for (const oldest of cache.keys()) {
      if (cache.size <= MAX_CACHED_WORKFLOWS) break;
      cache.delete(oldest);
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

/** The same in every process; a tenant may be called anything. */
export function systemWorkflowId(tenantId: string, name: string): string {
  return `${systemAlias(name)}:${createHash('sha256').update(tenantId).digest('hex').slice(0, 32)}`;
}

/**
 * The id of the tenant's own for `system:<name>`, for whoever needs no more, because the workflow is there: it was made with
 * the one that starts it. `workflows`: those that there are.
 */
export function createOwnIds(workflows: readonly SystemWorkflow[]): (tenantId: string, workflowId: string) => string {
  const names: ReadonlySet<string> = new Set(workflows.map(({ name }) => name));
  return (tenantId, workflowId) => {
    const name = nameInAlias(workflowId);
    return name !== undefined && names.has(name) ? systemWorkflowId(tenantId, name) : workflowId;
  };
}

type FindHead = (tenantId: string, workflowId: string) => Promise<WorkflowHead | undefined>;

/** Reads nothing more for what cannot be an alias. */
export function headsWithSystem(find: FindHead, system: SystemWorkflows): FindHead {
  return async (tenantId, id) => find(tenantId, isSystemId(id) ? await system.idOf(tenantId, id) : id);
}
