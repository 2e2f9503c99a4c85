/** Asks the policy engine before any operation changes something. */
import { OrchestratorError } from '../../domain/errors.ts';
import { NOBODYS_CHAIN } from '../../engine/ports/audit.ts';
import type { BeforeChange, Change } from '../../http/middleware/before-change.ts';
import type { PolicyClient } from './ask-policy.ts';
import { type PolicyDecision, type PolicyRequest, strongestRole, violationsIn } from './domain.ts';

/** They ask by themselves, with what the session is about, and a denied session is a session. */
const ASK_THEMSELVES = /^\/v1\/(?:sessions|mao)(?:\/|$)/;

export function askBeforeChange({ decide }: PolicyClient): BeforeChange {
  return async (change) => {
    if (ASK_THEMSELVES.test(change.path)) return;
    const { access, requestId, traceId, signal } = change;
    const decision = await decide(requestOf(change), { access, requestId, traceId, signal });
    if (!decision.allowed) throw policyDenied(decision);
  };
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
