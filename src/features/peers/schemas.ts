/** What peers send each other, and the responses of the API about them. */
import { z } from 'zod';
import { count, text, time, WHEN } from '../../schemas/answer-shapes.ts';
import { id } from '../../schemas/ids.ts';
import { replicatedService } from '../services/schemas.ts';

const INSTALLATION = '5d0f6b0e-8f60-4d3b-9a63-1f1f0c8f2a11';
const MAX_CHANGES = 200;

const change = z
  .strictObject({
    tenant_id: id,
    name: replicatedService.shape.name,
    version: z.int().min(0),
    service: replicatedService
      .omit({ name: true })
      .nullable()
      .meta({ description: 'The service; null: it was deleted' }),
  })
  .meta({ id: 'ReplicatedChange' });

export const replicateRequest = z
  .strictObject({
    from: id.meta({ description: 'The installation that sends the changes' }),
    changes: z.array(change).max(MAX_CHANGES),
  })
  .meta({ id: 'ReplicateRequest', example: { from: INSTALLATION, changes: [] } });

const outcome = z.enum(['applied', 'stale', 'full']).meta({
  description: 'stale: a newer version is known; full: the maximum number of services is reached',
});
export const replicated = z
  .object({
    id: text.meta({ description: 'The installation that received the changes' }),
    results: z.array(z.object({ outcome })),
  })
  .meta({ id: 'Replicated', example: { id: INSTALLATION, results: [] } });

export const synced = z
  .object({
    sent: count.meta({ description: 'Registrations and deletions that peers have received, counted for each peer' }),
    peers: count,
    pending: count.meta({
      description: 'Changes pending for peers that could not be reached; they are sent when the peers are back',
    }),
  })
  .meta({ id: 'SyncedPeers', example: { sent: 4, peers: 2, pending: 0 } });

const peer = z
  .object({
    url: text,
    id: text
      .nullable()
      .meta({ description: 'The `origin` of services that were registered there; null: it has never responded' }),
    status: z.enum(['unknown', 'up', 'down', 'self']).meta({ description: 'self: this installation' }),
    last_seen: time.nullable(),
    last_error: text.nullable(),
    failures: count.meta({ description: 'Consecutive failures' }),
    latency_ms: z.number().min(0).nullable(),
    next_attempt: time.nullable(),
    pending: count.meta({
      description: 'Services and deletions of this installation that the peer has not received yet',
    }),
  })
  .meta({ id: 'Peer' });
export const peerList = z.object({ peers: z.array(peer), count }).meta({
  id: 'PeerList',
  example: {
    peers: [
      {
        url: 'http://other:8000',
        id: INSTALLATION,
        status: 'up',
        last_seen: WHEN,
        last_error: null,
        failures: 0,
        latency_ms: 4.2,
        next_attempt: WHEN,
        pending: 0,
      },
    ],
    count: 1,
  },
});

export type ReplicateRequest = z.output<typeof replicateRequest>;
export type ReplicatedChange = z.output<typeof change>;
export type PeerAnswer = z.infer<typeof peer>;
