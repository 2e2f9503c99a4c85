/**
 * Workflows that the service brings itself. Each is a definition as a client would send it; a tenant gets its own when it is
 * first needed. Their ids start with `system:`, which no id that we make for others does.
 */
import type { JsonObject } from '../../schemas/json.ts';

export interface SystemWorkflow {
  /** Without the prefix. */
  name: string;
  /** Everything but name and tags. */
  definition: JsonObject;
  /** Other workflows of the service that it starts. */
  uses?: readonly string[];
}

/** Who made them. */
export const SYSTEM_USER = 'system';
/** What they are listed under. */
export const SYSTEM_TAG = 'system';
const PREFIX = 'system:';

/** What every tenant calls it; the id of its own is this and more. */
export function systemAlias(name: string): string {
  return `${PREFIX}${name}`;
}

export function isSystemId(workflowId: string): boolean {
  return workflowId.startsWith(PREFIX);
}

/** The name in an alias; undefined: it is none. */
export function nameInAlias(workflowId: string): string | undefined {
  return isSystemId(workflowId) ? workflowId.slice(PREFIX.length) : undefined;
}
