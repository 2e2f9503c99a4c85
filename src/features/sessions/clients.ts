/** The services that decide about sessions and issue their tokens, as sessions call them. */
import type { ApiParts, WorkerParts } from '../../feature.ts';
import type { JsonObject } from '../../schemas/json.ts';

export interface PolicyRequest {
  session_id: string;
  tenant: string;
  user: string;
  role: string;
  prompt: string;
  metadata: JsonObject;
}

export interface PolicyDecision {
  allowed: boolean;
  score: number | null;
  severity: string | null;
  reasons: JsonObject;
  /** There was no decision, and that counts as permission. */
  failedOpen: boolean;
}

export interface PolicyClient {
  decide(request: PolicyRequest, options?: { signal?: AbortSignal }): Promise<PolicyDecision>;
}

export interface TokenRequest {
  tenantId: string;
  userId: string;
  capabilities: readonly string[];
  mfaCode?: string | undefined;
  idempotencyKey: string;
}

export interface IdentityClient {
  /** The token itself is nobody's to keep. */
  issueToken(request: TokenRequest): Promise<{ expires_in: number; token_type: string }>;
}

/** How a process gets them; undefined: none is configured. */
export interface SessionClients {
  policy(parts: ApiParts): PolicyClient | undefined;
  identity(parts: WorkerParts): IdentityClient | undefined;
  /** The action type of Kubernetes jobs. */
  jobType?: string;
}
