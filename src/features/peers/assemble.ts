/** Peers: for the API, and the loop of a worker that notifies them. */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Config } from '../../config/config.ts';
import { repeatUntil } from '../../engine/recover/reconcile.ts';
import { createPeers, type NotifyPeersDeps, notifyPeers, type Peers } from './exchange.ts';
import { createReplicaStore } from './replica-store.ts';
import { createPeerStore } from './store.ts';

const POLL_EVERY_MS = 500;
const FORGET_EVERY_MS = 60_000;
const FORGOTTEN_AT_ONCE = 1_000;

type Settings = Pick<Config, 'peers' | 'peerSecrets'>;

export function peersOf(
  { peers: urls, peerSecrets: secrets, authentication }: Settings & Pick<Config, 'authentication'>,
  pool: pg.Pool,
): Peers {
  return createPeers({
    peers: createPeerStore(pool),
    replicas: createReplicaStore(pool),
    urls,
    secrets,
    open: !authentication.required,
    wait: (milliseconds, signal) => sleep(milliseconds, undefined, { signal }).catch(() => undefined),
  });
}

export async function runPeers(
  { peers: urls, peerSecrets: secrets }: Settings,
  { pool, log, ...rest }: Pick<NotifyPeersDeps, 'fetch' | 'now' | 'log'> & { pool: pg.Pool },
  signal: AbortSignal,
): Promise<void> {
  if (urls.length === 0) return;
  if (secrets.length === 0) log.warn('peers_not_signed', { peers: urls, problem: 'PEER_SECRET is not set' });
  const peers = createPeerStore(pool);
  const deps: NotifyPeersDeps = {
    ...rest,
    log,
    peers,
    urls,
    secrets,
    random: Math.random,
    elapsed: () => performance.now(),
  };
  let ensured = false;
  const pass = async () => {
    if (!ensured) await peers.ensure(urls);
    ensured = true;
    await notifyPeers(deps, signal);
  };
  await Promise.all([
    repeatUntil({ signal, log }, POLL_EVERY_MS, 'send_to_peers', pass),
    repeatUntil({ signal, log }, FORGET_EVERY_MS, 'forget_peers', () => peers.forget(FORGOTTEN_AT_ONCE)),
  ]);
}
