/** The certificate and key of ENABLE_TLS are read and checked at start: a fault in them is a fault of the configuration. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Label } from './read-settings.ts';
import type { Settings } from './settings/all.ts';

/** As the files have them (PEM). */
interface TlsFiles {
  cert: string;
  key: string;
  /** Undefined: the API requests no certificates of clients. */
  clients?: { ca: string; required: boolean };
}

type Parse<T> = readonly [what: string, parse: (pem: string) => T];

const CERTIFICATE: Parse<X509Certificate> = ['a certificate in PEM form', (pem) => new X509Certificate(pem)];
const PRIVATE_KEY: Parse<KeyObject> = [
  'a private key in PEM form without a passphrase',
  (pem) => createPrivateKey(pem),
];

type Name = 'TLS_CERT_PATH' | 'TLS_KEY_PATH' | 'TLS_CA_PATH';

interface Files {
  settings: Settings['tls'];
  label: Label;
  /** Paths are relative to it. */
  folder: string;
}

/** Undefined: the API speaks plain HTTP. Adds what is wrong to `faults`, each fault under its own setting; no fault repeats the content of a file. */
export function readTls({ settings, label, folder }: Files, faults: string[]): TlsFiles | undefined {
  const { certPath, keyPath, caPath, clientCerts } = settings;
  const fault = (name: Name, file: string, why: string) => faults.push(`${label(name)} is ${file}, ${why}.`);
  const read = <T>(name: Name, file: string, [what, parse]: Parse<T>) => {
    const pem = contentOf(path.resolve(folder, file));
    if ('missing' in pem) {
      fault(name, file, `which cannot be read (${pem.missing})`);
      return undefined;
    }
    try {
      return { pem: pem.text, parsed: parse(pem.text) };
    } catch {
      fault(name, file, `which is not ${what}`);
      return undefined;
    }
  };
  const cert = read('TLS_CERT_PATH', certPath, CERTIFICATE);
  const key = read('TLS_KEY_PATH', keyPath, PRIVATE_KEY);
  // A path that is missing is a fault of the settings, which are checked elsewhere.
  const ca = clientCerts === 'off' || caPath === undefined ? undefined : read('TLS_CA_PATH', caPath, CERTIFICATE);
  if (cert === undefined || key === undefined) return undefined;
  if (!cert.parsed.checkPrivateKey(key.parsed))
    fault('TLS_KEY_PATH', keyPath, 'which is not the key of the certificate');
  const own = { cert: cert.pem, key: key.pem };
  return ca === undefined ? own : { ...own, clients: { ca: ca.pem, required: clientCerts === 'required' } };
}

function contentOf(file: string): { text: string } | { missing: string } {
  try {
    return { text: readFileSync(file, 'utf8') };
  } catch (error) {
    return { missing: String((error as NodeJS.ErrnoException).code) }; // Only the file system throws here.
  }
}
