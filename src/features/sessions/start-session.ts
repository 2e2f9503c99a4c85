/** The start of a session: the policy decides, and then the session and its execution are stored together. */
import { createHash } from 'node:crypto';
import { missing } from '../../domain/access.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import type { Keyring } from '../../engine/keyring.ts';
import type { SystemRuns } from '../../engine/ports/system-workflows.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import type { PolicyClient, PolicyOptions } from '../policy/ask-policy.ts';
import type { PolicyDecision, PolicyRequest } from '../policy/domain.ts';
import { approvalRequest, jobRequest, mfaContext, recordedMetadata, SESSION_WORKFLOW } from './domain.ts';
import type { RecordedDecision, SessionParameters } from './parameters.ts';
import type { SessionRow, SessionStore } from './ports.ts';
import type { StartSession } from './schemas.ts';

export interface StartSessionDeps {
  /** Undefined: every session is allowed. */
  policy: PolicyClient | undefined;
  sessions: Pick<SessionStore, 'find' | 'accept'>;
  system: Pick<SystemRuns, 'start'>;
  keyring: Keyring | undefined;
  ttlSeconds: number;
  /** Sessions have Kubernetes jobs. */
  hasJobs: boolean;
  newId(): string;
}

/** Who starts a session. */
export interface Starter {
  caller: Caller;
  /** Of the credentials; undefined: none are required, and the tenant that the body names is only recorded. */
  tenantOfCredentials: string | undefined;
  role: string;
  idempotencyKey: string | undefined;
  /** For the policy: the client that waits, and who is written down where nobody decides. */
  asks: PolicyOptions;
}

export type StartSessionUseCase = (
  starter: Starter,
  request: StartSession,
) => Promise<SessionRow & { repeated: boolean }>;

const RUN_JOBS = 'kubernetes:run';
const CHOOSES_WHAT_RUNS = ['volcano_image', 'volcano_command', 'volcano_env'] as const;

export const NO_POLICY: PolicyDecision = {
  allowed: true,
  score: null,
  severity: null,
  reasons: { note: 'no policy engine' },
  failedOpen: false,
};

export function createStartSession(deps: StartSessionDeps): StartSessionUseCase {
  return async (starter, request) => {
    const { caller } = starter;
    requireOwnTenant(starter, [request.tenant, ...(request.tenant_id === undefined ? [] : [request.tenant_id])]);
    const sessionId = request.metadata.session_id ?? `session-${idOf(starter) ?? deps.newId()}`;
    if (deps.hasJobs) requireJobPermission(caller, request.metadata);
    const before = await deps.sessions.find(caller.tenantId, sessionId);
    if (before !== undefined) return { ...before, repeated: true };
    const mfaCode = seal(deps.keyring, [caller.tenantId, sessionId], request.mfa_code ?? request.metadata.mfa_code);
    const metadata = recordedMetadata(request.metadata as JsonObject); // Of a JSON body.
    const decision = await decide(deps.policy, starter, {
      ...{ session_id: sessionId, tenant: request.tenant, user: request.user, role: starter.role },
      ...{ prompt: request.prompt, metadata },
    });
    const parameters = { ...parametersOf(sessionId, request, metadata), decision };
    const ttlSeconds = request.metadata.keep_open === true ? deps.ttlSeconds : undefined;
    const accepted = await deps.system.start(caller, SESSION_WORKFLOW, parameters as JsonObject, {
      runs: { accept: (run) => deps.sessions.accept(run, { sessionId, ttlSeconds, mfaCode }) },
    });
    const stored = await deps.sessions.find(caller.tenantId, sessionId);
    if (stored === undefined) throw new OrchestratorError('not_found', 'Session not found');
    return { ...stored, repeated: accepted.repeated };
  };
}

export async function decide(
  policy: PolicyClient | undefined,
  { asks }: Pick<Starter, 'asks'>,
  request: PolicyRequest,
): Promise<RecordedDecision> {
  const { failedOpen, ...decision } = policy === undefined ? NO_POLICY : await policy.decide(request, asks);
  return { ...decision, ...(failedOpen ? { failed_open: true as const } : {}) };
}

/** 403 where credentials are required and are those of another tenant. */
export function requireOwnTenant({ tenantOfCredentials: own }: Starter, named: readonly string[]): void {
  const foreign = named.find((tenant) => own !== undefined && tenant !== own);
  if (foreign === undefined) return;
  throw new OrchestratorError('forbidden', `The credentials are not those of the tenant '${foreign}'`);
}

/** What a Job runs is for those to say who may run Jobs; its size and queue are not. */
function requireJobPermission(caller: Caller, metadata: StartSession['metadata']): void {
  const chosen = CHOOSES_WHAT_RUNS.some((name) => metadata[name] !== undefined && metadata[name] !== null);
  if (chosen && caller.may?.(RUN_JOBS) === false) throw missing(RUN_JOBS);
}

/** A repeated request with the same key is about the same session. */
function idOf({ caller, idempotencyKey: key }: Starter): string | undefined {
  if (key === undefined) return undefined;
  return createHash('sha256')
    .update(JSON.stringify([caller.tenantId, key]))
    .digest('hex')
    .slice(0, 32);
}

function seal(
  keyring: Keyring | undefined,
  [tenantId, sessionId]: readonly [string, string],
  code: string | undefined,
): string | undefined {
  if (code === undefined) return undefined;
  if (keyring !== undefined) return keyring.seal(code, mfaContext(tenantId, sessionId));
  const message = 'cannot be stored until it is used: SECRETS_KEY is not set';
  throw new OrchestratorError('invalid_request', `mfa_code ${message}`, { errors: [{ path: 'mfa_code', message }] });
}

function parametersOf(
  sessionId: string,
  request: StartSession,
  metadata: JsonObject,
): Omit<SessionParameters, 'decision'> {
  const { tenant, user, prompt, model, capabilities, metadata: _, mfa_code: __, ...others } = request;
  const approval = approvalRequest(metadata);
  return {
    ...{ session_id: sessionId, tenant, user, prompt, model, metadata },
    capabilities: capabilities ?? request.metadata.capabilities ?? [],
    request: others as { [name: string]: Json }, // Likewise.
    keep_open: request.metadata.keep_open === true,
    ...(approval === undefined ? {} : { approval_request: approval }),
    job_request: jobRequest(sessionId, metadata),
  };
}
