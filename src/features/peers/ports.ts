/** What peers ask of their store. */

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
  /** Of the tenant that asks. */
  pending: number;
}

export interface DuePeer {
  url: string;
  failures: number;
  /** What had been asked for when it was taken. */
  asked: number;
}

/** A service that was registered or deleted here, as a peer is told. */
export interface PendingChange {
  tenantId: string;
  name: string;
  version: number;
  /** Null: deleted. */
  service: JsonObject | null;
  bytes: number;
}

/** Sends: who is owed what follows from the services themselves and from what each peer has taken. */
export interface PeerStore {
  /** Of this installation; made when it is first asked for. */
  installation(): Promise<string>;
  /** Known from now on. */
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
  /** All that the tenant has is owed once more; what was asked for, by peer. */
  requestAll(urls: readonly string[], tenantId: string): Promise<void>;
  /** How much of what was asked for is done, and how much the peers have taken of the tenant's. */
  progress(urls: readonly string[], tenantId: string): Promise<{ open: number; sent: number; pending: number }>;
  /** What was taken of services that are not known any more. */
  forget(limit: number): Promise<number>;
}

export type ReplicaOutcome = 'applied' | 'stale' | 'full';

/** Takes what peers tell. */
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
