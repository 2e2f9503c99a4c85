/** Has the policy engine asked before an operation changes something. */
import { OrchestratorError } from '../../domain/errors.ts';
import { NOBODYS_CHAIN } from '../../engine/ports/audit.ts';
import type { BeforeChange, Change } from '../../http/middleware/before-change.ts';
import type { PolicyClient } from './ask-policy.ts';
import { type PolicyDecision, type PolicyRequest, strongestRole, violationsIn } from './domain.ts';

/** The operations that ask by themselves, with what the session is about: a denied session is a session. */
const ASK_THEMSELVES = new Set(['/v1/sessions', '/v1/sessions/start', '/v1/mao/start']);
const SESSION_ACTION = '/v1/sessions/{session_id}/actions/{action}';

/** `scope`: all that changes something, or what lies below /v1. */
export function askBeforeChange({ decide }: PolicyClient, scope: 'sessions' | 'all'): BeforeChange {
  const ask = async (change: Change) => {
    if (isMessage(change)) return;
    const { operation, access, requestId, traceId, signal } = change;
    const decision = await decide(requestOf(change), { operation, access, requestId, traceId, signal });
    if (!decision.allowed) throw policyDenied(decision);
  };
  return ({ path }) => {
    const isInScope = scope === 'all' || path.startsWith('/v1/');
    return isInScope && !ASK_THEMSELVES.has(path) ? ask : undefined;
  };
}

/** It is a prompt and asks by itself, like a start; of the other actions of sessions it is told apart by its name alone. */
function isMessage({ path, resource }: Change): boolean {
  return path === SESSION_ACTION && resource['action'] === 'message';
}

/** What the client gets of a denial. */
export function policyDenied({ reasons }: Pick<PolicyDecision, 'reasons'>): OrchestratorError {
  const violations = violationsIn(reasons);
  const why = violations.length === 0 ? '' : `: ${violations.join('; ')}`;
  return new OrchestratorError('policy_denied', `The policy denies this${why}`);
}

/** Nothing of the body, which may have secrets in it. */
function requestOf({ operation, summary, resource, caller, access, requestId }: Change): PolicyRequest {
  return {
    session_id: requestId,
    // Of links and of peers, which have no credentials, as in the audit.
    tenant: caller?.tenantId ?? NOBODYS_CHAIN,
    user: caller?.userId ?? 'unknown',
    role: strongestRole(access),
    prompt: summary,
    metadata: { operation, ...(Object.keys(resource).length === 0 ? {} : { resource: { ...resource } }) },
  };
}
