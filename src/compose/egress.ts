/** The way out of a process, by its configuration. */
import type { Config } from '../config.ts';
import { isBelow } from '../domain/service-address.ts';
import { createEgress, type Egress, type EgressDecision } from '../egress/egress.ts';
import type { Logger } from '../engine/ports.ts';

interface Parts {
  databaseUrl: string;
  log: Logger;
  onDecision(decision: EgressDecision): void;
}

export function egressOf(config: Config, { databaseUrl, log, onDecision }: Parts): Egress {
  const configured = Object.values(config.services).map((url) => new URL(url));
  return createEgress({
    policy: config.egressPolicy,
    allow: config.egressAllow,
    tenants: config.egressTenants,
    ownAddresses: ownAddresses(config, databaseUrl),
    isTrustedOrigin: (url) => configured.some((base) => isBelow(base, url)),
    onDecision,
    log,
  });
}

/** Requests may not go to our own listeners and stores, nor to the cluster that we run in. */
function ownAddresses(config: Config, databaseUrl: string): Array<{ host: string; port: number }> {
  const stores = [databaseUrl, config.redisUrl].flatMap((text) => {
    if (text === undefined) return [];
    const url = new URL(text);
    const host = url.searchParams.get('host') ?? url.hostname;
    const port = Number(url.port) || (url.protocol.startsWith('redis') ? 6379 : 5432);
    // A socket in the file system is no place to send HTTP to.
    return host === '' || host.startsWith('/') ? [] : [{ host, port }];
  });
  const listeners = [config.port, config.workerPort]
    .filter((port) => port > 0)
    .map((port) => ({ host: config.host, port }));
  return [...stores, ...listeners, ...(config.kubernetesApi === undefined ? [] : [config.kubernetesApi])];
}
