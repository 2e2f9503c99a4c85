/**
 * Verifies bearer tokens by asking the identity service. What it says is cached by a digest of the token, for a while and
 * never past the end of the token, also that a token is refused; without an answer nobody is let in and nobody is turned
 * away. A token is asked about once at a time, and only so many tokens are.
 */
import { createHash } from 'node:crypto';
import { OrchestratorError } from '../../domain/errors.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { ServiceAnswer } from '../../egress/post-json.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { Principal } from '../../http/auth/principal.ts';
import { type IdentityAnswer, readIdentityAnswer, type VerifiedToken } from './read-answers.ts';

export type Verified = 'verified' | 'refused' | 'unavailable';

export interface TokenVerifierDeps {
  /** In time, or it rejects. */
  ask(token: string): Promise<ServiceAnswer>;
  cachedMs: number;
  /** Called for each answer of the service, and for each that did not come. */
  verified(result: Verified): void;
  /** Milliseconds of a clock that only goes on. */
  elapsed(): number;
  /** Milliseconds since 1970. */
  now(): number;
  log: Logger;
  maxCached?: number;
  /** At the same time. */
  maxAsked?: number;
}

/** As of a JWT. */
const MAX_LENGTH = 8_192;
const MAX_CACHED = 10_000;
const MAX_ASKED = 100;
/** A token that is issued a moment later must not be refused for long. */
const MAX_REFUSED_MS = 5_000;
const LOG_EVERY_MS = 10_000;
const RETRY_AFTER_SECONDS = 2;
/** What is shorter could be a part of any name. */
const MIN_QUOTED_LENGTH = 16;

type Result = Principal | { why: string };

interface Entry {
  result: Result;
  until: number;
}

export function createTokenVerifier(deps: TokenVerifierDeps): (token: string) => Promise<Result> {
  const { ask, cachedMs, verified, elapsed, now, log, maxCached = MAX_CACHED, maxAsked = MAX_ASKED } = deps;
  const cache = new Map<string, Entry>();
  const asking = new Map<string, Promise<Result>>();
  let loggedAt = Number.NEGATIVE_INFINITY;

  function unavailable(problem: string): OrchestratorError {
    verified('unavailable');
    if (elapsed() - loggedAt >= LOG_EVERY_MS) {
      loggedAt = elapsed();
      log.warn('identity_unavailable', { problem });
    }
    return new OrchestratorError('unavailable', 'The token cannot be verified at the moment', {
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    });
  }

  async function answerTo(token: string): Promise<IdentityAnswer> {
    try {
      const answer = readIdentityAnswer(await ask(token), now());
      return quotes(answer, token) ? { kind: 'unusable', problem: 'it repeats the token' } : answer;
    } catch (error) {
      return { kind: 'unusable', problem: errorMessage(error) };
    }
  }

  async function askAbout(token: string, key: string): Promise<Result> {
    const [askedAt, startedAt] = [elapsed(), now()];
    const answer = await answerTo(token);
    switch (answer.kind) {
      case 'unusable':
        throw unavailable(answer.problem);
      case 'refused': {
        verified('refused');
        const result = { why: answer.why };
        store(key, { result, until: askedAt + Math.min(cachedMs, MAX_REFUSED_MS) });
        return result;
      }
      case 'verified': {
        verified('verified');
        const result = principalOf(answer.token);
        const remainingMs = (answer.token.expiresAtMs ?? Number.POSITIVE_INFINITY) - startedAt;
        store(key, { result, until: askedAt + Math.min(cachedMs, remainingMs) });
        return result;
      }
    }
  }

  function store(key: string, entry: Entry): void {
    cache.delete(key);
    for (const [oldest] of cache) {
      if (cache.size < maxCached) break;
      cache.delete(oldest);
    }
    cache.set(key, entry);
  }

  return async (token) => {
    if (token.length > MAX_LENGTH) return { why: 'too_long' };
    const key = createHash('sha256').update(token).digest('base64');
    const cached = cache.get(key);
    if (cached !== undefined && elapsed() < cached.until) return cached.result;
    const before = asking.get(key);
    if (before !== undefined) return before;
    if (asking.size >= maxAsked) throw unavailable(`it has not answered about ${maxAsked} tokens yet`);
    const asked = askAbout(token, key).finally(() => asking.delete(key));
    asking.set(key, asked);
    return asked;
  };
}

function principalOf({ userId, tenantId, roles, tokenId }: VerifiedToken): Principal {
  const credential = ['identity', `sub ${userId}`, ...(tokenId === undefined ? [] : [`jti ${tokenId}`])].join(', ');
  return { userId, tenantId, access: { means: 'identity', credential, roles, scopes: undefined } };
}

/** What it names is stored, and no token may be. */
function quotes(answer: IdentityAnswer, token: string): boolean {
  if (answer.kind !== 'verified' || token.length < MIN_QUOTED_LENGTH) return false;
  const { userId, tenantId, tokenId = '' } = answer.token;
  return [userId, tenantId, tokenId].some((text) => text.includes(token));
}
