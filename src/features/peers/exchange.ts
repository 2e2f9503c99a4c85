/**
 * Peers: installations that send each other the services that were registered or deleted with them. Each sends what was
 * made with it and nothing that it received, so nothing goes round. What a peer has to get follows from the rows themselves,
 * so a peer that was away, or a worker that died in between, costs time and no change.
 */
import type { z } from 'zod';
import { OrchestratorError } from '../../domain/errors.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import { within } from '../../engine/deliver/time-limit.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import type { Json } from '../../schemas/json.ts';
import { supersedes } from './domain.ts';
import type { DuePeer, PeerState, PeerStore, PendingChange, ReplicaOutcome, ReplicaStore } from './ports.ts';
import { type ReplicateRequest, replicated } from './schemas.ts';
import { peerFault, peerHeaders } from './sign-peer.ts';

const REPLICATE_PATH = '/registry/replicate';
const AT_ONCE = 50;
/** Far below what a body may have. */
const BYTES_AT_ONCE = 400_000;
const TIMEOUT_MS = 10_000;
/** Longer than sending all may take; a worker that dies is replaced then. */
const LEASE_MS = 60_000;
/** With nothing to send a peer is pinged. */
const PING_MS = 30_000;
const AGAIN_MS = 1_000;
const MAX_AGAIN_MS = 300_000;
const JITTER = 0.2;
const MAX_ERROR = 300;

export interface NotifyPeersDeps {
  peers: PeerStore;
  urls: readonly string[];
  /** The first one signs; empty: nothing is signed. */
  secrets: readonly string[];
  fetch(
    url: string,
    init: {
      method: 'POST';
      headers: Record<string, string>;
      body: string;
      signal: AbortSignal;
      trusted: true;
      certificateFor: { own: 'peers' };
    },
  ): Promise<{ status: number; text(): Promise<string> }>;
  now(): Date;
  /** In milliseconds, of a clock that only goes on. */
  elapsed(): number;
  random(): number;
  log: Logger;
}

/** Sends the peers that are due what they have not got. */
export async function notifyPeers(deps: NotifyPeersDeps, signal: AbortSignal): Promise<void> {
  const due = await deps.peers.takeDue(deps.urls, LEASE_MS);
  if (due.length === 0) return;
  const from = await deps.peers.installation();
  await Promise.all(due.map((peer) => notifyPeer(deps, peer, from, signal)));
}

async function notifyPeer(deps: NotifyPeersDeps, peer: DuePeer, from: string, stopping: AbortSignal): Promise<void> {
  try {
    const seen = await sendAll(deps, peer, from, stopping);
    await deps.peers.succeeded(peer, { ...seen, nextMs: PING_MS });
  } catch (error) {
    // The end of this worker says nothing about the other side.
    if (stopping.aborted) return deps.peers.release(peer);
    const why = errorMessage(error).slice(0, MAX_ERROR);
    deps.log.warn('peer_not_told', { peer: peer.url, failures: peer.failures + 1, problem: why });
    await deps.peers.failed(peer, { error: why, againMs: delayAfter(peer.failures, deps.random()) });
  }
  return undefined;
}

export function delayAfter(failures: number, random: number): number {
  return Math.min(AGAIN_MS * 2 ** failures, MAX_AGAIN_MS) * (1 - JITTER * random);
}

/** In order, batch by batch; with nothing to send it only pings the peer. */
async function sendAll(
  deps: NotifyPeersDeps,
  peer: DuePeer,
  from: string,
  stopping: AbortSignal,
): Promise<{ id: string; latencyMs: number; error: string | null }> {
  let after: PendingChange | undefined;
  let full = 0;
  for (;;) {
    const batch = bounded(await deps.peers.pending(peer.url, after, AT_ONCE));
    const startedAt = deps.elapsed();
    const { id, results } = await send(deps, peer.url, { from, changes: batch.map(toWire) }, stopping);
    const latencyMs = deps.elapsed() - startedAt;
    if (results.length !== batch.length) throw new Error('it did not answer for each change');
    const taken = batch.filter((_, index) => results[index]?.outcome !== 'full');
    full += batch.length - taken.length;
    if (taken.length > 0) await deps.peers.acknowledge(peer.url, taken);
    after = batch.at(-1);
    if (after === undefined || batch.length < AT_ONCE) {
      const more = after !== undefined && (await deps.peers.pending(peer.url, after, 1)).length > 0;
      if (!more) return { id, latencyMs, error: full === 0 ? null : `it has no room for ${full} services` };
    }
  }
}

function bounded(changes: readonly PendingChange[]): PendingChange[] {
  let bytes = 0;
  // One always goes.
  const end = changes.findIndex((change, index) => {
    bytes += change.bytes;
    return index > 0 && bytes > BYTES_AT_ONCE;
  });
  return changes.slice(0, end === -1 ? changes.length : end);
}

function toWire({ tenantId, name, version, service }: PendingChange): { [key: string]: Json } {
  return { tenant_id: tenantId, name, version, service };
}

async function send(
  { secrets, fetch, now }: NotifyPeersDeps,
  url: string,
  body: { from: string; changes: Json[] },
  stopping: AbortSignal,
): Promise<z.output<typeof replicated>> {
  const [secret] = secrets;
  const signed = secret === undefined ? {} : peerHeaders(secret, now(), body);
  const answer = await fetch(`${url}${REPLICATE_PATH}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...signed },
    body: JSON.stringify(body),
    signal: within(TIMEOUT_MS, stopping),
    trusted: true,
    certificateFor: { own: 'peers' },
  });
  if (answer.status !== 200) throw new Error(`it answered ${answer.status}`);
  const parsed = replicated.safeParse(jsonOf(await answer.text()));
  if (!parsed.success) throw new Error('it answered with something else than an installation of this kind does');
  return parsed.data;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export interface PeerView extends PeerState {
  status: 'unknown' | 'up' | 'down' | 'self';
}

export interface Peers {
  list(caller: Caller): Promise<PeerView[]>;
  /** Everything of the tenant, once more; resolves when all peers have answered or failed, or after a while. */
  sync(caller: Caller, signal: AbortSignal): Promise<{ sent: number; peers: number; pending: number }>;
  /** What a peer sends. Throws 401 when it is not signed by one. */
  receive(
    /** Parses the body, once its signature is verified. */
    read: () => ReplicateRequest,
    signed: { body: Json; timestamp: string | undefined; signature: string | undefined },
  ): Promise<{ id: string; results: Array<{ outcome: ReplicaOutcome }> }>;
}

export interface PeersDeps {
  peers: PeerStore;
  replicas: ReplicaStore;
  urls: readonly string[];
  secrets: readonly string[];
  /** Nobody needs credentials here: then who is not signed can do no more than anybody. */
  open: boolean;
  wait(milliseconds: number, signal: AbortSignal): Promise<void>;
}

const SYNC_TIMEOUT_MS = 12_000;
const POLL_EVERY_MS = 100;

export function createPeers(deps: PeersDeps): Peers {
  const { peers, replicas, urls, secrets } = deps;
  return {
    async list({ tenantId }) {
      const self = await peers.installation();
      const states = await peers.states(urls, tenantId);
      return states.map((state) => ({ ...state, status: statusOf(state, self) }));
    },
    async sync({ tenantId }, signal) {
      if (urls.length > 0) await peers.requestAll(urls, tenantId);
      for (let waited = 0; ; waited += POLL_EVERY_MS) {
        const { open, sent, pending } = await peers.progress(urls, tenantId);
        if (open === 0 || waited >= SYNC_TIMEOUT_MS || signal.aborted) return { sent, peers: urls.length, pending };
        await deps.wait(POLL_EVERY_MS, signal);
      }
    },
    async receive(read, { body, timestamp, signature }) {
      const fault =
        secrets.length > 0
          ? peerFault(secrets, { timestamp, signature }, await replicas.now(), body)
          : deps.open
            ? undefined
            : 'PEER_SECRET is not set here, so no peer can be known';
      if (fault !== undefined) throw new OrchestratorError('unauthorized', fault);
      const { from, changes } = read();
      const id = await peers.installation();
      const results: Array<{ outcome: ReplicaOutcome }> = [];
      for (const change of changes) {
        results.push({ outcome: await replicas.apply(change, from, id, supersedes) });
      }
      return { id, results };
    },
  };
}

function statusOf({ id, failures, lastSeenAt }: PeerState, self: string): PeerView['status'] {
  if (id === self) return 'self';
  if (failures > 0) return 'down';
  return lastSeenAt === null ? 'unknown' : 'up';
}
