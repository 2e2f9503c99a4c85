/**
 * The public keys of an identity provider. They are read when a token first needs them and again when they are old or
 * when a token names one that is not among them, which is how keys are rotated; never more often than the cooldown, so
 * that tokens with invented names make no requests. While the provider is away the cached keys stay valid.
 */
import { type CryptoKey, importJWK, type JWK } from 'jose';
import { z } from 'zod';
import { OrchestratorError } from '../../domain/errors.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { Logger } from '../../engine/ports/logger.ts';

/** A key has one algorithm, its own: a token that names another is rejected. */
export interface PinnedKey {
  alg: string;
  key: CryptoKey;
}

export interface KeySet {
  /** All keys of that name; without a name the only key there is. Throws `unavailable` while none are cached. */
  find(kid: string | undefined): Promise<readonly PinnedKey[]>;
}

export interface KeySetDeps {
  /** The document, as JSON has it; bounded in time and size. */
  fetchKeys(): Promise<unknown>;
  /** Milliseconds of a clock that does not jump. */
  elapsed(): number;
  log: Logger;
  maxAgeMs?: number;
  cooldownMs?: number;
}

const MAX_AGE_MS = 10 * 60_000;
const COOLDOWN_MS = 10_000;
/** Of a provider that is away: a key that it has withdrawn is valid no longer than that. */
const MAX_STALE_MS = 24 * 3_600_000;
const MAX_KEYS = 100;
const MIN_RSA_BYTES = 256;

const documentSchema = z.object({ keys: z.array(z.record(z.string(), z.unknown())).max(MAX_KEYS) });
const BY_CURVE = new Map([
  ['P-256', 'ES256'],
  ['P-384', 'ES384'],
  ['P-521', 'ES512'],
  ['Ed25519', 'EdDSA'],
]);
const RSA = new Set(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']);

type Keys = ReadonlyMap<string | undefined, readonly PinnedKey[]>;

export function createKeySet(deps: KeySetDeps): KeySet {
  const { fetchKeys, elapsed, log, maxAgeMs = MAX_AGE_MS, cooldownMs = COOLDOWN_MS } = deps;
  let cached: { keys: Keys; at: number } | undefined;
  let tried = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | undefined;

  async function read(): Promise<void> {
    tried = elapsed();
    try {
      const keys = await keysOf(await fetchKeys());
      if (keys.size === 0) throw new Error('there is no key in it that can be used');
      cached = { keys, at: elapsed() };
    } catch (error) {
      log.warn('jwks_unavailable', { error: errorMessage(error) });
    } finally {
      reading = undefined;
    }
  }

  return {
    async find(kid) {
      const age = cached === undefined ? Number.POSITIVE_INFINITY : elapsed() - cached.at;
      const found = cached?.keys.get(kid);
      if (found === undefined || age > maxAgeMs) {
        if (reading === undefined && elapsed() - tried >= cooldownMs) reading = read();
        await reading;
      }
      if (cached === undefined || elapsed() - cached.at > MAX_STALE_MS) {
        throw new OrchestratorError('unavailable', 'The keys that tokens are checked with cannot be read');
      }
      return cached.keys.get(kid) ?? [];
    },
  };
}

async function keysOf(document: unknown): Promise<Keys> {
  const byName = new Map<string | undefined, PinnedKey[]>();
  const all: PinnedKey[] = [];
  for (const jwk of documentSchema.parse(document).keys) {
    const pinned = await pin(jwk);
    if (pinned === undefined) continue;
    all.push(pinned);
    const { kid } = jwk;
    if (typeof kid === 'string') byName.set(kid, [...(byName.get(kid) ?? []), pinned]);
  }
  if (all.length === 1) byName.set(undefined, all);
  else if (all.length > 0 && byName.size === 0) throw new Error('its keys have no names');
  return byName;
}

/** Undefined: not for signatures, or of a kind that is not taken. */
async function pin(jwk: Readonly<Record<string, unknown>>): Promise<PinnedKey | undefined> {
  const { use, key_ops: operations } = jwk;
  if (use !== undefined && use !== 'sig') return undefined;
  if (Array.isArray(operations) && !operations.includes('verify')) return undefined;
  const alg = algorithmOf(jwk);
  if (alg === undefined) return undefined;
  try {
    const { kty, crv, x, y, n, e } = jwk as JWK; // Of these fields importJWK checks each.
    const key = await importJWK(
      Object.fromEntries(Object.entries({ kty, crv, x, y, n, e }).filter(([, part]) => part !== undefined)) as JWK,
      alg,
    );
    return key instanceof Uint8Array ? undefined : { alg, key };
  } catch {
    return undefined;
  }
}

/** From the kind of the key, and its `alg` where the kind leaves a choice. */
function algorithmOf({ kty, crv, alg, n }: Readonly<Record<string, unknown>>): string | undefined {
  if (kty === 'RSA') {
    if (typeof n !== 'string' || Buffer.from(n, 'base64url').length < MIN_RSA_BYTES) return undefined;
    if (alg === undefined) return 'RS256';
    return typeof alg === 'string' && RSA.has(alg) ? alg : undefined;
  }
  if ((kty !== 'EC' && kty !== 'OKP') || typeof crv !== 'string') return undefined;
  const own = BY_CURVE.get(crv);
  const fits = alg === undefined || alg === own || (alg === 'Ed25519' && own === 'EdDSA');
  return fits ? own : undefined;
}
