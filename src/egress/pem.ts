/**
 * What PEM files (RFC 7468) hold. OpenSSL takes the blocks up to the first one that it cannot read and says nothing: here
 * each block has to be a certificate, so that no authority is missing unnoticed.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';

/** The texts of the files of one certificate. */
export interface Pems {
  /** Who vouches for the other side, instead of the usual authorities. */
  ca?: string;
  cert?: string;
  key?: string;
}

interface PemFault {
  of: keyof Pems;
  /** For a sentence that has named the file. It repeats nothing of its content. */
  why: string;
}

/** Every block but those that may stand beside certificates: keys, and the parameters of keys. */
const BEGINS = /-----BEGIN (?![A-Z0-9 ]*(?:PRIVATE KEY|PARAMETERS)-----)/g;
const CERTIFICATE = /-----BEGIN ((?:TRUSTED |X509 )?CERTIFICATE)-----[\s\S]*?-----END \1-----/g;

const NO_CERTIFICATE = 'which is not a certificate in PEM form';
const NO_KEY = 'which is not a private key in PEM form without a passphrase';
const OTHER_KEY = 'which is not the key of the certificate';

/** All that is wrong. */
export function faultsOfPems({ ca, cert, key }: Pems): PemFault[] {
  const faults: PemFault[] = [];
  const read = <T>(of: keyof Pems, text: string | undefined, parse: (pem: string) => T): T | undefined => {
    if (text === undefined) return undefined;
    try {
      return parse(text);
    } catch {
      faults.push({ of, why: of === 'key' ? NO_KEY : NO_CERTIFICATE });
      return undefined;
    }
  };
  const own = read('cert', cert, certificatesIn);
  const ownKey = read('key', key, createPrivateKey);
  read('ca', ca, certificatesIn);
  if (own !== undefined && ownKey !== undefined && !own[0].checkPrivateKey(ownKey))
    faults.push({ of: 'key', why: OTHER_KEY });
  return faults;
}

/** Throws where there is none, or where one of them cannot be read. */
function certificatesIn(pem: string): [X509Certificate, ...X509Certificate[]] {
  const [first, ...others] = pem.match(CERTIFICATE) ?? [];
  const blocks = pem.match(BEGINS)?.length ?? 0;
  if (first === undefined || blocks !== 1 + others.length) throw new Error('a block is no certificate');
  return [new X509Certificate(first), ...others.map((block) => new X509Certificate(block))];
}
