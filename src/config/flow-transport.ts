/** Whether messages of flow runs come and go, and by what. */
import { requiresCredentials } from './authentication.ts';
import type { Label } from './read-settings.ts';
import { redisServersOf } from './redis-servers.ts';
import type { Settings } from './settings/all.ts';

/** Undefined: flow runs come over HTTP alone, and nothing connects. */
export function transportOf({ kafka, flowTransport }: Settings): 'kafka' | 'redis-streams' | undefined {
  return flowTransport.kind ?? (hasServers(kafka) ? 'kafka' : undefined);
}

/** A program that can publish names the tenant, so with authentication only the default one is taken unless said otherwise. */
export function messageTenantsOf(settings: Settings): readonly string[] {
  return settings.kafka.tenants ?? [requiresCredentials(settings) ? 'default' : '*'];
}

export function transportFaults(settings: Settings, label: Label): string[] {
  const { kafka, flowTransport } = settings;
  const faults: string[] = [];
  if (flowTransport.kind === 'kafka' && !hasServers(kafka)) {
    faults.push(`${label('FLOW_TRANSPORT')} is kafka and KAFKA_BOOTSTRAP_SERVERS names no broker.`);
  }
  if (flowTransport.kind === 'redis-streams' && redisServersOf(settings.redis) === undefined) {
    faults.push(`${label('FLOW_TRANSPORT')} is redis-streams, and the streams are in Redis: set REDIS_URL.`);
  }
  const isSasl = kafka.protocol.startsWith('SASL');
  if (isSasl && (kafka.saslUsername === undefined || kafka.saslPassword === undefined)) {
    faults.push(
      `${label('KAFKA_SECURITY_PROTOCOL')} is ${kafka.protocol}: set KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD.`,
    );
  }
  if ((kafka.certPath === undefined) !== (kafka.keyPath === undefined)) {
    faults.push(`${label('KAFKA_SSL_CERT_PATH')} and KAFKA_SSL_KEY_PATH belong together: set both, or neither.`);
  }
  return faults;
}

function hasServers({ servers }: Settings['kafka']): boolean {
  return servers !== undefined && servers.length > 0;
}
