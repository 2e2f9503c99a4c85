/** What peers need of their store. */

import type { JsonObject } from '../../schemas/json.ts';
import type { Versioned } from './domain.ts';
import type { ReplicatedChange } from './schemas.ts';

export interface PeerState {
  url: string;
  id: string | null;
  lastSeenAt: Date | null;
  lastError: string | null;
  failures: number;
  latencyMs: number | null;
  nextAt: Date;
  /** Of the caller's tenant. */
  pending: number;
}

export interface DuePeer {
  url: string;
  failures: number;
  /** The number of the request for everything, when it was taken. */
  asked: number;
}

/** A service that was registered or deleted here, as a peer gets it. */
export interface PendingChange {
  tenantId: string;
  name: string;
  version: number;
  /** Null: deleted. */
  service: JsonObject | null;
  bytes: number;
}

/** What a peer has to get follows from the services themselves and from what it has taken. */
export interface PeerStore {
  /** Of this installation; made when it is first needed. */
  installation(): Promise<string>;
  /** Makes their rows. */
  ensure(urls: readonly string[]): Promise<void>;
  /** Those to talk to now, which are nobody else's until the lease is over. */
  takeDue(urls: readonly string[], leaseMs: number): Promise<DuePeer[]>;
  /** In the order of tenants and names, after this one. */
  pending(url: string, after: { tenantId: string; name: string } | undefined, limit: number): Promise<PendingChange[]>;
  acknowledge(url: string, taken: ReadonlyArray<{ tenantId: string; name: string; version: number }>): Promise<void>;
  succeeded(
    peer: DuePeer,
    seen: { id: string; latencyMs: number; error: string | null; nextMs: number },
  ): Promise<void>;
  failed(peer: DuePeer, failure: { error: string; againMs: number }): Promise<void>;
  /** Nothing came of it: another worker may take it. */
  release(peer: DuePeer): Promise<void>;
  states(urls: readonly string[], tenantId: string): Promise<PeerState[]>;
  /** All that the tenant has is to be sent once more. */
  requestAll(urls: readonly string[], tenantId: string): Promise<void>;
  /** How much of what was requested is done, and how much the peers have taken of the tenant's. */
  progress(urls: readonly string[], tenantId: string): Promise<{ open: number; sent: number; pending: number }>;
  /** What was taken of services that are gone. */
  forget(limit: number): Promise<number>;
}

export type ReplicaOutcome = 'applied' | 'stale' | 'full';

/** Stores what peers send. */
export interface ReplicaStore {
  now(): Promise<Date>;
  apply(
    change: ReplicatedChange,
    origin: string,
    /** Of a row that was made here: it has no origin. */
    self: string,
    supersedes: (incoming: Versioned, current: Versioned | undefined) => boolean,
  ): Promise<ReplicaOutcome>;
}
