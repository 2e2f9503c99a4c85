/** The certificates and keys of ENABLE_TLS and of SERVICE_TLS are read and checked at start: a fault in them is a fault of the configuration. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { CertificateFiles } from '../egress/client-certificates.ts';
import { faultsOfPems, type Pems } from '../egress/pem.ts';
import type { Label } from './read-settings.ts';
import type { Settings } from './settings/all.ts';

/** As the files have them (PEM). */
interface TlsFiles {
  cert: string;
  key: string;
  /** Undefined: no certificates of clients are requested. */
  clients?: { ca: string; required: boolean };
}

interface Files {
  settings: Settings['tls'];
  label: Label;
  /** Paths are relative to it. */
  folder: string;
}

const NAMES = { cert: 'TLS_CERT_PATH', key: 'TLS_KEY_PATH', ca: 'TLS_CA_PATH' } as const;

/** Undefined: API and worker speak plain HTTP. Adds what is wrong to `faults`, each fault under its own setting; no fault repeats the content of a file. */
export function readTls({ settings, label, folder }: Files, faults: string[]): TlsFiles | undefined {
  const { certPath, keyPath, caPath, clientCerts } = settings;
  // A path that is missing is a fault of the settings, which are checked elsewhere.
  const files: CertificateFiles = { cert: certPath, key: keyPath, ca: clientCerts === 'off' ? undefined : caPath };
  const { cert, key, ca } = readPems(files, folder, (of, why) =>
    faults.push(`${label(NAMES[of])} is ${files[of]}, ${why}.`),
  );
  if (cert === undefined || key === undefined) return undefined;
  return ca === undefined ? { cert, key } : { cert, key, clients: { ca, required: clientCerts === 'required' } };
}

/** Adds what is wrong with the files of SERVICE_TLS to `faults`. They are read again by whoever uses them. */
export function checkServiceTls({ serviceTls }: Settings, label: Label, faults: string[]): void {
  for (const [name, files] of serviceTls) {
    readPems(files, '/', (of, why) => faults.push(`${label('SERVICE_TLS')} has ${files[of]} for '${name}', ${why}.`));
  }
}

function readPems(files: CertificateFiles, folder: string, fault: (of: keyof Pems, why: string) => void): Pems {
  const pems: Pems = {};
  for (const of of ['cert', 'key', 'ca'] as const) {
    const file = files[of];
    if (file === undefined) continue;
    try {
      pems[of] = readFileSync(path.resolve(folder, file), 'utf8');
    } catch (error) {
      fault(of, `which cannot be read (${String((error as NodeJS.ErrnoException).code)})`); // Only the file system throws here.
    }
  }
  for (const { of, why } of faultsOfPems(pems)) fault(of, why);
  return pems;
}
