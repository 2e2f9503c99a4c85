/**
 * Seals the content of cookies: encrypted and authenticated (AES-256-GCM), with an end, readable for nobody
 * else. Each purpose has a key of its own, so that what was sealed for one opens nothing as another.
 */
import { hkdfSync } from 'node:crypto';
import { EncryptJWT, errors, jwtDecrypt } from 'jose';

export interface Sealer {
  seal(content: Readonly<Record<string, unknown>>, seconds: number): Promise<string>;
  /** Undefined: it is not ours, was changed, or its time is over. */
  open(text: string): Promise<Readonly<Record<string, unknown>> | undefined>;
}

export interface SealerDeps {
  /** The first one seals; all of them open, so that one can be replaced by another. */
  secrets: readonly string[];
  purpose: string;
  now(): Date;
}

const KEY_BYTES = 32;
/** Browsers store at most 4,096 bytes of a cookie, with its name and attributes. */
export const MAX_SEALED_LENGTH = 3_800;

export function createSealer({ secrets, purpose, now }: SealerDeps): Sealer {
  const keys = secrets.map(
    (secret) => new Uint8Array(hkdfSync('sha256', secret, '', `orchestrator ${purpose}`, KEY_BYTES)),
  );
  const seconds = (at: Date) => Math.floor(at.getTime() / 1_000);

  async function openWith(key: Uint8Array, text: string): Promise<Readonly<Record<string, unknown>> | undefined> {
    try {
      const { payload } = await jwtDecrypt(text, key, {
        keyManagementAlgorithms: ['dir'],
        contentEncryptionAlgorithms: ['A256GCM'],
        audience: purpose,
        requiredClaims: ['exp'],
        currentDate: now(),
      });
      return payload;
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined;
      throw error;
    }
  }

  return {
    seal(content, lasting) {
      const [key] = keys;
      if (key === undefined) throw new Error('there is no secret to seal with');
      const at = seconds(now());
      return new EncryptJWT({ ...content })
        .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
        .setAudience(purpose)
        .setIssuedAt(at)
        .setExpirationTime(at + Math.floor(lasting))
        .encrypt(key);
    },
    async open(text) {
      if (text.length > MAX_SEALED_LENGTH) return undefined;
      for (const key of keys) {
        const content = await openWith(key, text);
        if (content !== undefined) return content;
      }
      return undefined;
    },
  };
}
