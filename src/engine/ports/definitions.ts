/** Definitions of immutable versions, and how what a client writes becomes one. */
import type { Definition } from '../../domain/definition/definition.ts';
import type { DefinitionRef } from '../../schemas/job.ts';
import type { JsonObject } from '../../schemas/json.ts';

export interface Definitions {
  /** Cached: versions are immutable. */
  load(of: DefinitionRef): Promise<Definition>;
}

/** Throws `OrchestratorError` where a definition may not be saved: for what only a feature knows. */
export type BeforeSaveWorkflow = (tenantId: string, definition: Definition) => Promise<void>;

export interface DefinitionRules {
  /** `tenantId`: what the flow form says of itself. */
  normalise(tenantId: string, body: JsonObject): Promise<{ definition: Definition; tenantId: string | undefined }>;
  merge(tenantId: string, current: Definition, patch: JsonObject): Promise<Definition>;
}
