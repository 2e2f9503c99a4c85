/**
 * The certificates that this service shows to others (mutual TLS), and who vouches for those others, by SERVICE_TLS. The files
 * are read again while they are used, at most once a second. What was read last goes on where they cannot be used, as while
 * one of two has been replaced.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { EgressError } from './errors.ts';
import { faultsOfPems, type Pems } from './pem.ts';

/** What the service itself calls. A service of a tenant that has such a name is another one. */
export const OWN_CALLS = ['policy', 'identity', 'memory', 'peers'] as const;
export type OwnCall = (typeof OWN_CALLS)[number];

/** Whom a request is for: a service by its name, or what the service itself calls. */
export type CertificateFor = { service: string } | { own: OwnCall };

/** Paths, by what is there. */
export type CertificateFiles = { readonly [File in keyof Pems]?: string | undefined };

export interface ShownCertificate {
  /** As SERVICE_TLS has it. */
  name: string;
  /** Another one for other contents. */
  version: string;
  pems: Pems;
}

export interface ClientCertificates {
  /** Undefined: none is configured. Throws an EgressError where its files cannot be used and never could. */
  find(of: CertificateFor): Promise<ShownCertificate | undefined>;
}

const READ_AGAIN_MS = 1_000;

export function createClientCertificates(deps: {
  /** By the keys of services, and the names above. */
  files: ReadonlyMap<string, CertificateFiles>;
  /** The key of a service by its name, of which there are several spellings. */
  keyOf(service: string): string;
  /** Milliseconds of a clock that only goes forward. */
  now(): number;
  log: { warn(message: string, data?: object): void };
}): ClientCertificates {
  const known = new Map<string, { readAt: number; found: Promise<ShownCertificate> }>();
  const isOwn = (name: string) => OWN_CALLS.some((own) => own === name);

  async function readAgain(name: string, files: CertificateFiles, before: Promise<ShownCertificate> | undefined) {
    try {
      const pems = await readAll(files);
      return { name, version: createHash('sha256').update(JSON.stringify(pems)).digest('hex'), pems };
    } catch (error) {
      deps.log.warn('service_certificate_unusable', { target: name, error });
      const last = await before?.catch(() => undefined);
      if (last !== undefined) return last;
      throw new EgressError('unreachable', `the certificate for '${name}' cannot be used`, { cause: error });
    }
  }

  return {
    async find(of) {
      const name = 'own' in of ? of.own : deps.keyOf(of.service);
      const files = 'service' in of && isOwn(name) ? undefined : deps.files.get(name);
      if (files === undefined) return undefined;
      const last = known.get(name);
      if (last !== undefined && deps.now() - last.readAt < READ_AGAIN_MS) return last.found;
      const next = { readAt: deps.now(), found: readAgain(name, files, last?.found) };
      known.set(name, next);
      return next.found;
    },
  };
}

async function readAll(files: CertificateFiles): Promise<Pems> {
  const pems: Pems = {};
  for (const of of ['ca', 'cert', 'key'] as const) {
    const file = files[of];
    if (file !== undefined) pems[of] = await readFile(file, 'utf8');
  }
  const [fault] = faultsOfPems(pems);
  if (fault !== undefined) throw new Error(`${files[fault.of]}, ${fault.why}`);
  return pems;
}
