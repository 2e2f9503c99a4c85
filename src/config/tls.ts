/** The certificate and key of ENABLE_TLS, read and tried at start: a fault in them is a fault of the configuration. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { type Found, labelOf, type Values } from './read-settings.ts';

/** As the files have them (PEM). */
export interface TlsFiles {
  cert: string;
  key: string;
  /** Undefined: clients are not asked for certificates. */
  clients?: { ca: string; required: boolean };
}

type Names = 'TLS_CERT_PATH' | 'TLS_KEY_PATH' | 'TLS_CA_PATH';

/** Adds what is wrong to `faults`, each fault under its own setting; no fault tells what is in a file. */
export function readTls(
  values: Pick<Values, Names | 'TLS_CLIENT_CERTS'>,
  found: ReadonlyMap<string, Found>,
  folder: string,
  faults: string[],
): TlsFiles | undefined {
  const fault = (name: Names, why: string) => {
    const here = found.get(name);
    faults.push(`${here === undefined ? name : labelOf(here)} is ${values[name]}, ${why}.`);
  };
  const read = <T>(name: Names, what: string, parse: (pem: string) => T): { pem: string; parsed: T } | undefined => {
    const pem = contentOf(path.resolve(folder, values[name] ?? ''));
    if ('missing' in pem) {
      fault(name, `which cannot be read (${pem.missing})`);
      return undefined;
    }
    try {
      return { pem: pem.text, parsed: parse(pem.text) };
    } catch {
      fault(name, `which is not ${what}`);
      return undefined;
    }
  };
  const cert = read('TLS_CERT_PATH', 'a certificate in PEM form', (pem) => new X509Certificate(pem));
  const key = read(
    'TLS_KEY_PATH',
    'a private key in PEM form without a passphrase',
    (pem): KeyObject => createPrivateKey(pem),
  );
  const { TLS_CLIENT_CERTS: asked, TLS_CA_PATH: caPath } = values;
  // That the path is missing is told beside what else is wrong with these settings.
  const wanted = asked !== 'off' && caPath !== undefined;
  const ca = wanted ? read('TLS_CA_PATH', 'a certificate in PEM form', (pem) => new X509Certificate(pem)) : undefined;
  if (cert === undefined || key === undefined) return undefined;
  if (!cert.parsed.checkPrivateKey(key.parsed)) fault('TLS_KEY_PATH', 'which is not the key of the certificate');
  const own = { cert: cert.pem, key: key.pem };
  return ca === undefined ? own : { ...own, clients: { ca: ca.pem, required: asked === 'required' } };
}

function contentOf(file: string): { text: string } | { missing: string } {
  try {
    return { text: readFileSync(file, 'utf8') };
  } catch (error) {
    return { missing: String((error as NodeJS.ErrnoException).code) }; // Only the file system throws here.
  }
}
