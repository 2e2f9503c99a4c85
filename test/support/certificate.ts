/** A self-signed certificate for 127.0.0.1 and localhost, as `openssl` makes one. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export interface Certificate {
  certPath: string;
  keyPath: string;
  cert: string;
  key: string;
}

export function makeCertificate(folder: string, name = 'server'): Certificate {
  const certPath = path.join(folder, `${name}.crt`);
  const keyPath = path.join(folder, `${name}.key`);
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30'],
      ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'],
      ...['-keyout', keyPath, '-out', certPath],
    ],
    { stdio: 'pipe' },
  );
  return { certPath, keyPath, cert: readFileSync(certPath, 'utf8'), key: readFileSync(keyPath, 'utf8') };
}

export interface Authority {
  cert: string;
  /** A certificate that it vouches for; `days` may be over already. */
  issue(name: string, subject: string, alternative?: string, days?: number): { cert: string; key: string };
}

export function makeAuthority(folder: string, name: string): Authority {
  const at = (file: string) => path.join(folder, file);
  const run = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });
  const fresh = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const own = ['-keyout', at(`${name}.key`), '-out', at(`${name}.crt`)];
  run('req', '-x509', ...fresh, '-days', '30', '-subj', `/CN=${name}`, ...own);
  return {
    cert: readFileSync(at(`${name}.crt`), 'utf8'),
    issue(file, subject, alternative, days = 30) {
      const key = at(`${file}.key`);
      const cert = at(`${file}.crt`);
      run('req', ...fresh, '-subj', subject, '-keyout', key, '-out', at(`${file}.csr`));
      writeFileSync(at(`${file}.ext`), alternative === undefined ? '' : `subjectAltName=${alternative}\n`);
      const signed = ['-CA', at(`${name}.crt`), '-CAkey', at(`${name}.key`), '-CAcreateserial'];
      run(
        'x509',
        '-req',
        '-in',
        at(`${file}.csr`),
        ...signed,
        '-days',
        `${days}`,
        '-extfile',
        at(`${file}.ext`),
        '-out',
        cert,
      );
      return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
    },
  };
}
