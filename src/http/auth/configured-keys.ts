/** The keys of API_KEY and METRICS_TOKEN: compared by their digests in constant time. */
import { createHash, timingSafeEqual } from 'node:crypto';

/** Resolves to the first 8 hex digits of the digest of the key that fits: a name for it that is no secret. */
export function configuredKeys(keys: readonly string[]): (presented: string) => string | undefined {
  const digests = keys.map(digest);
  return (presented) => {
    const presentedDigest = digest(presented);
    let found: string | undefined;
    // All are compared, whichever fits.
    for (const candidate of digests) {
      if (timingSafeEqual(candidate, presentedDigest)) found = candidate.toString('hex').slice(0, 8);
    }
    return found;
  };
}

function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
