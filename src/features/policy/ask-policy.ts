/**
 * Asks the policy engine whether something may be done. Where it does not decide, nothing is done (503), unless the operator
 * wants it allowed then: that is audited before it is done, and counted.
 */
import type { Access } from '../../domain/access.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import { requestHash } from '../../engine/accept/request-hash.ts';
import type { Audit, AuditEvent } from '../../engine/ports/audit.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import {
  type EngineAnswer,
  type PolicyDecision,
  type PolicyDialect,
  type PolicyRequest,
  readEngineAnswer,
} from './domain.ts';

export interface PolicyClient {
  /** Throws `policy_unavailable` when there is no decision, also when the signal was aborted. */
  decide(request: PolicyRequest, options?: PolicyOptions): Promise<PolicyDecision>;
}

export interface PolicyOptions {
  /** Of the client that waits. */
  signal?: AbortSignal | undefined;
  /** What is asked about, and who asks: for the audit, and never the word of a client. */
  operation?: string | undefined;
  access?: Access | undefined;
  requestId?: string | undefined;
  traceId?: string | undefined;
}

export type Decided = 'allowed' | 'denied' | 'unavailable' | 'failed_open';

export interface PolicyDeps {
  dialect: PolicyDialect;
  failOpen: boolean;
  /** In time, or it rejects. */
  ask(request: PolicyRequest, signal: AbortSignal | undefined): Promise<{ status: number; body: unknown }>;
  audit: Pick<Audit, 'write'>;
  decided(result: Decided): void;
  /** Milliseconds of a clock that only goes on. */
  elapsed(): number;
  log: Logger;
  maxCached?: number;
}

const MAX_CACHED = 10_000;
/** Decisions whose reasons are longer are not cached. */
const MAX_CACHED_LENGTH = 4_096;
const LOG_EVERY_MS = 10_000;
const RETRY_AFTER_SECONDS = 2;

type Decision = Omit<PolicyDecision, 'failedOpen'>;

export function createPolicy(deps: PolicyDeps): PolicyClient {
  const { dialect, failOpen, ask, audit, decided, elapsed, log } = deps;
  const cache = createDecisionCache(deps.maxCached ?? MAX_CACHED, elapsed);
  let loggedAt = Number.NEGATIVE_INFINITY;

  async function answerTo(request: PolicyRequest, signal: AbortSignal | undefined): Promise<EngineAnswer> {
    try {
      return readEngineAnswer(dialect, await ask(request, signal));
    } catch (error) {
      if (signal?.aborted === true) {
        throw new OrchestratorError('policy_unavailable', 'Nobody waits for the decision any more', { cause: error });
      }
      return { fault: errorMessage(error) };
    }
  }

  function unavailable(problem: string): OrchestratorError {
    decided('unavailable');
    return new OrchestratorError('policy_unavailable', 'The policy engine has not decided, so nothing was done', {
      retryAfterSeconds: RETRY_AFTER_SECONDS,
      cause: new Error(problem),
    });
  }

  function report(problem: string): void {
    if (elapsed() - loggedAt < LOG_EVERY_MS) return;
    loggedAt = elapsed();
    log.warn('policy_unavailable', { problem, fail_open: failOpen });
  }

  return {
    async decide(request, options = {}) {
      const { session_id: _, ...sent } = request;
      const key = requestHash(sent);
      const cached = cache.find(key);
      const askedAt = elapsed();
      const answer =
        cached === undefined ? await answerTo(request, options.signal) : { decision: cached, cacheSeconds: 0 };
      if ('fault' in answer) {
        report(answer.fault);
        if (!failOpen) throw unavailable(answer.fault);
        await audit.write(failedOpen(request, options, answer.fault));
        decided('failed_open');
        return { allowed: true, score: null, severity: null, reasons: {}, failedOpen: true };
      }
      const { decision, cacheSeconds } = answer;
      if (cacheSeconds > 0) cache.store(key, decision, askedAt + cacheSeconds * 1_000);
      decided(decision.allowed ? 'allowed' : 'denied');
      return { ...decision, failedOpen: false };
    },
  };
}

/** By a digest of what was sent: nothing of that is stored. The oldest go when there is room for no more. */
function createDecisionCache(most: number, elapsed: () => number) {
  const cached = new Map<string, { decision: Decision; until: number }>();
  return {
    find(key: string): Decision | undefined {
      const found = cached.get(key);
      if (found === undefined || elapsed() < found.until) return found?.decision;
      cached.delete(key);
      return undefined;
    },
    store(key: string, decision: Decision, until: number): void {
      if (JSON.stringify(decision.reasons).length > MAX_CACHED_LENGTH) return;
      cached.delete(key);
      for (const [oldest] of cached) {
        if (cached.size < most) break;
        cached.delete(oldest);
      }
      cached.set(key, { decision, until });
    },
  };
}

function failedOpen({ tenant, user }: PolicyRequest, options: PolicyOptions, problem: string): AuditEvent {
  const { operation, access, requestId, traceId } = options;
  return {
    tenant_id: tenant,
    actor: user,
    means: access?.means ?? 'unknown',
    credential: access?.credential ?? null,
    action: 'policy.failed_open',
    permission: null,
    ...{ resource_type: null, resource_id: null, address: null, user_agent: null },
    decision: 'allowed',
    reason: 'policy_unavailable',
    status: null,
    request_id: requestId ?? null,
    trace_id: traceId ?? null,
    details: { ...(operation === undefined ? {} : { operation }), problem },
  };
}
