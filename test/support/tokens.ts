/** Tokens as others make them, also such as no library would: each part is put together by hand. */
import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

export const SECRET = 'a secret of more than 256 bits for tests only';

export type Json = Record<string, unknown>;

export function encode(part: Json | string): string {
  return Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url');
}

/** Signed with HMAC-SHA256, whatever the header says. */
export function hmacToken(
  payload: Json,
  header: Json = { alg: 'HS256', typ: 'JWT' },
  secret: string | Buffer = SECRET,
) {
  const signed = `${encode(header)}.${encode(payload)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

/** Signed with the private key in the way of `alg`, whatever the header says. */
export function signedToken(payload: Json, header: Json, key: KeyObject, alg = String(header['alg'])): string {
  const signed = `${encode(header)}.${encode(payload)}`;
  const hash = alg.startsWith('Ed') ? null : `sha${alg.slice(2)}`;
  const padding = alg.startsWith('PS') ? { padding: 6, saltLength: Number(alg.slice(2)) / 8 } : {};
  const signature = sign(hash, Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363', ...padding });
  return `${signed}.${signature.toString('base64url')}`;
}

export interface KeyPair {
  publicKey: KeyObject;
  privateKey: KeyObject;
}

export const makeKeys = {
  rsa: (bits = 2048): KeyPair => generateKeyPairSync('rsa', { modulusLength: bits }),
  ec: (curve: 'P-256' | 'P-384' | 'P-521'): KeyPair => generateKeyPairSync('ec', { namedCurve: curve }),
  ed: (): KeyPair => generateKeyPairSync('ed25519'),
};

export function jwkOf(key: KeyObject, more: Json = {}): Json {
  return { ...key.export({ format: 'jwk' }), ...more };
}
