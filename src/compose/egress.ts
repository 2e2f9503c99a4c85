/** The way out of a process, by its configuration, and what registered addresses are checked against. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config/config.ts';
import { isBelow } from '../domain/service-address.ts';
import { serviceKey } from '../domain/service-rate.ts';
import { createClientCertificates } from '../egress/client-certificates.ts';
import { createEgress, type Egress, type EgressDecision } from '../egress/egress.ts';
import { EgressError } from '../egress/errors.ts';
import { createGuard, type GuardOptions } from '../egress/guard.ts';
import { createResolve, systemLookup } from '../egress/resolve.ts';
import type { Logger } from '../engine/ports/logger.ts';
import type { ApiParts } from '../feature.ts';

/** A name that takes longer is checked when it is called, as every address is. */
const RESOLVE_PATIENCE_MS = 2_000;

interface OwnAddress {
  host: string;
  port: number;
}

interface Parts {
  /** As `ownAddresses` made them; the process adds the ports that it was given. */
  own: readonly OwnAddress[];
  log: Logger;
  onDecision(decision: EgressDecision): void;
}

export function egressOf(config: Config, { own, log, onDecision }: Parts): Egress {
  const certificates = createClientCertificates({
    files: config.serviceTls,
    keyOf: serviceKey,
    now: () => performance.now(),
    log,
  });
  return createEgress({ ...guardOptions(config, own), certificates, onDecision, log });
}

/** Says why a tenant may not have a service at an address. A name that does not resolve yet is checked when it is called. */
export function addressCheckOf(config: Config, own: readonly OwnAddress[]): ApiParts['checkAddress'] {
  const guard = createGuard(
    guardOptions(config, own),
    createResolve(systemLookup, () => performance.now()),
  );
  return async (tenantId, url) => {
    const admitted = guard.admit(new URL(url), { trusted: false, tenantId }).then(
      () => undefined,
      (error: unknown) => {
        if (error instanceof EgressError) return error.fault === 'denied' ? error.message : undefined;
        throw error;
      },
    );
    const late = new AbortController();
    const patience = sleep(RESOLVE_PATIENCE_MS, undefined, { signal: late.signal }).catch(() => undefined);
    try {
      return await Promise.race([admitted, patience]);
    } finally {
      late.abort();
    }
  };
}

function guardOptions(config: Config, own: readonly OwnAddress[]): GuardOptions {
  const configured = Object.values(config.services).map((url) => new URL(url));
  return {
    policy: config.egressPolicy,
    allow: config.egressAllow,
    tenants: config.egressTenants,
    ownAddresses: own,
    isTrustedOrigin: (url) => configured.some((base) => isBelow(base, url)),
  };
}

/** What the servers in these lists know of further servers is not known here. */
function listedServers(redis: Config['redis']): readonly OwnAddress[] {
  if (redis?.kind === 'sentinels') return redis.sentinels;
  return redis?.kind === 'cluster' ? redis.nodes : [];
}

/** Requests may not go to our own listeners and stores, nor to the cluster that we run in. */
export function ownAddresses(config: Config, databaseUrl: string): OwnAddress[] {
  const { redis } = config;
  const stores = [databaseUrl, ...(redis?.kind === 'one' ? [redis.url] : [])].flatMap((text) => {
    const url = new URL(text);
    const host = url.searchParams.get('host') ?? url.hostname;
    const port = Number(url.port) || (url.protocol.startsWith('redis') ? 6379 : 5432);
    // A socket in the file system is no place to send HTTP to.
    return host === '' || host.startsWith('/') ? [] : [{ host, port }];
  });
  const listeners = [config.port, config.workerPort]
    .filter((port) => port > 0)
    .map((port) => ({ host: config.host, port }));
  return [
    ...stores,
    ...listedServers(redis),
    ...listeners,
    ...(config.kubernetesApi === undefined ? [] : [config.kubernetesApi]),
  ];
}
