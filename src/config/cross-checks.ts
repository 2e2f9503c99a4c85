/** What is wrong with several settings together: what would be unsafe to ignore. */
import { authenticationFaults, requiresCredentials } from './authentication.ts';
import { transportFaults } from './flow-transport.ts';
import type { Label } from './read-settings.ts';
import { redisFaults, redisServersOf } from './redis-servers.ts';
import type { Settings } from './settings/all.ts';

export function crossChecks(settings: Settings, host: string, label: Label): string[] {
  const { eventsStream, enterprise, redis, policy, failpoints, peers, tls } = settings;
  const faults = redisFaults(settings, label);
  if (redisServersOf(redis) === undefined) {
    if (eventsStream.name !== undefined)
      faults.push(`${label('EVENTS_STREAM')} names a stream in Redis: set REDIS_URL, or leave it out.`);
    else if (enterprise.eventStreaming)
      faults.push(
        `${label('EVENT_STREAMING_ENABLED')} is true, and the stream of events is in Redis: set REDIS_URL, or leave it out.`,
      );
  }
  if (enterprise.serviceMesh && !(tls.enabled && tls.clientCerts === 'required')) {
    faults.push(
      `${label('SERVICE_MESH_ENABLED')} is true, and clients need no certificates: set ENABLE_TLS=true, TLS_CLIENT_CERTS=required and TLS_CA_PATH, or leave it out.`,
    );
  }
  if (policy.scope === 'all' && policy.engineUrl === undefined) {
    faults.push(`${label('POLICY_SCOPE')} is all and POLICY_ENGINE_URL is not set: nobody would decide anything.`);
  }
  if (failpoints.length > 0 && settings.nodeEnv !== 'test') {
    faults.push(
      `${label('FAILPOINTS')} makes processes fail on purpose, which is honoured with NODE_ENV=test only: leave it out.`,
    );
  }
  if (peers.length > 0 && requiresCredentials(settings) && settings.peerSecrets.length === 0) {
    faults.push(
      `${label('PEERS')} is set beside authentication and no PEER_SECRET is: peers could not tell each other from anybody else.`,
    );
  }
  faults.push(...authenticationFaults(settings, host, label), ...transportFaults(settings, label));
  if (settings.encryptPayloads && settings.secretKeys.length === 0) {
    faults.push('ENCRYPT_PAYLOADS is true and SECRETS_KEY is not set: there is nothing to encrypt with.');
  }
  return faults;
}
