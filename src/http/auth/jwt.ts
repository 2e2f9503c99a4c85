/**
 * Tokens, as RFC 8725 wants them checked: what is signed with is decided by our keys and never by the token, which may
 * neither bring a key nor say where one is; it has an end; it is for us. The reason of a rejection goes to our log alone.
 */
import { decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from 'jose';
import type { KeySet, PinnedKey } from './jwks.ts';
import { type ClaimRules, claimsOf } from './jwt-claims.ts';
import type { Principal } from './principal.ts';

export interface JwtRules extends ClaimRules {
  /** For HS256: the one in use and those that it replaces. Empty: none are taken. */
  secrets: readonly string[];
  /** Undefined: nothing but HS256. */
  keys: KeySet | undefined;
  /** One of them, where there are any. */
  issuers: readonly string[];
  audiences: readonly string[];
  toleranceSeconds: number;
  now(): Date;
}

export type JwtVerifier = (token: string) => Promise<Principal | { why: string }>;

const MAX_LENGTH = 8_192;
const MAX_KID_LENGTH = 256;
const COMPACT = /^[\w-]+\.[\w-]+\.[\w-]+$/;
/** Each would let the token choose the key that it is checked with, or how. */
const FORBIDDEN = ['jku', 'jwk', 'x5u', 'x5c', 'crit', 'b64', 'zip', 'enc'];
const TYPES = new Set(['jwt', 'at+jwt', 'application/jwt', 'application/at+jwt']);

export function createJwtVerifier(rules: JwtRules): JwtVerifier {
  const secrets: readonly PinnedSecret[] = rules.secrets.map((secret) => ({
    alg: 'HS256',
    key: new TextEncoder().encode(secret),
  }));

  return async (token) => {
    const header = headerOf(token);
    if ('why' in header) return header;
    const { alg, kid } = header;
    // Those of an issuer that shares a secret with us have a kid too at times: the secret has no name.
    const candidates = alg === 'HS256' ? secrets : ((await rules.keys?.find(kid)) ?? []);
    const fitting = candidates.filter((candidate) => candidate.alg === alg);
    if (fitting.length === 0) return { why: candidates.length === 0 ? 'unknown_key' : 'wrong_algorithm' };
    let outcome: { payload: JWTPayload } | { why: string } = { why: 'unknown_key' };
    for (const candidate of fitting) {
      outcome = await verify(token, candidate, rules);
      if ('payload' in outcome || outcome.why !== 'wrong_signature') break;
    }
    if ('why' in outcome) return outcome;
    const claims = claimsOf(outcome.payload, rules);
    if ('why' in claims) return claims;
    const { userId, tenantId, roles, scopes } = claims;
    const credential = credentialOf(outcome.payload.iss, kid, userId);
    return { userId, tenantId, issuer: outcome.payload.iss, access: { means: 'jwt', credential, roles, scopes } };
  };
}

/** A gateway may speak for others: which token it had, and of whom, is said here. */
function credentialOf(issuer: string | undefined, kid: string | undefined, subject: string): string {
  const parts = [issuer && `iss ${issuer}`, kid && `kid ${kid}`, `sub ${subject}`];
  return parts.filter((part) => part !== undefined && part !== '').join(', ');
}

type PinnedSecret = { alg: string; key: Uint8Array };

function headerOf(token: string): { alg: string; kid: string | undefined } | { why: string } {
  if (token.length > MAX_LENGTH) return { why: 'too_long' };
  if (!COMPACT.test(token)) return { why: 'no_token' };
  let header: Record<string, unknown>;
  try {
    header = { ...decodeProtectedHeader(token) };
  } catch {
    return { why: 'malformed_header' };
  }
  if (FORBIDDEN.some((name) => Object.hasOwn(header, name))) return { why: 'forbidden_header' };
  const { alg, kid, typ } = header;
  if (typeof alg !== 'string') return { why: 'wrong_algorithm' };
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > MAX_KID_LENGTH)) return { why: 'malformed_header' };
  if (typ !== undefined && (typeof typ !== 'string' || !TYPES.has(typ.toLowerCase()))) return { why: 'wrong_type' };
  return { alg: alg === 'Ed25519' ? 'EdDSA' : alg, kid };
}

async function verify(
  token: string,
  { alg, key }: PinnedKey | PinnedSecret,
  { issuers, audiences, toleranceSeconds, now }: JwtRules,
): Promise<{ payload: JWTPayload } | { why: string }> {
  try {
    return await jwtVerify(token, key, {
      algorithms: alg === 'EdDSA' ? ['EdDSA', 'Ed25519'] : [alg],
      requiredClaims: ['exp', 'sub'],
      clockTolerance: toleranceSeconds,
      currentDate: now(),
      ...(issuers.length === 0 ? {} : { issuer: [...issuers] }),
      ...(audiences.length === 0 ? {} : { audience: [...audiences] }),
    });
  } catch (error) {
    if (error instanceof errors.JWSSignatureVerificationFailed) return { why: 'wrong_signature' };
    if (error instanceof errors.JWTExpired) return { why: 'expired' };
    if (error instanceof errors.JWTClaimValidationFailed) return { why: `wrong_claim_${error.claim}` };
    if (error instanceof errors.JOSEError) return { why: 'malformed' };
    throw error;
  }
}
