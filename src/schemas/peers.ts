/** What installations tell each other, and what the HTTP door answers about them. */
import { z } from 'zod';
import { count, text, time, WHEN } from './answer-shapes.ts';
import { replicatedService } from './registry.ts';

const INSTALLATION = '5d0f6b0e-8f60-4d3b-9a63-1f1f0c8f2a11';
const MAX_CHANGES = 200;

const id = z.string().min(1).max(255);
const change = z
  .strictObject({
    tenant_id: id,
    name: replicatedService.shape.name,
    version: z.int().min(0),
    service: replicatedService.omit({ name: true }).nullable().meta({ description: 'Null: it was deleted' }),
  })
  .meta({ id: 'ReplicatedChange' });

export const replicateRequest = z
  .strictObject({
    from: id.meta({ description: 'The installation that tells' }),
    changes: z.array(change).max(MAX_CHANGES),
  })
  .meta({ id: 'ReplicateRequest', example: { from: INSTALLATION, changes: [] } });

const outcome = z.enum(['applied', 'stale', 'full']).meta({
  description: 'stale: something newer is known; full: there are as many services as there may be',
});
export const replicated = z
  .object({ id: text.meta({ description: 'The installation that was told' }), results: z.array(z.object({ outcome })) })
  .meta({ id: 'Replicated', example: { id: INSTALLATION, results: [] } });

export const synced = z
  .object({
    sent: count.meta({ description: 'Registrations and deletions that peers have taken, counted for each peer' }),
    peers: count,
    pending: count.meta({
      description: 'What peers that could not be reached are still owed; it is sent when they are back',
    }),
  })
  .meta({ id: 'SyncedPeers', example: { sent: 4, peers: 2, pending: 0 } });

const peer = z
  .object({
    url: text,
    id: text
      .nullable()
      .meta({ description: 'The `origin` of services that were registered there; null: it has never answered' }),
    status: z.enum(['unknown', 'up', 'down', 'self']).meta({ description: 'self: it is this installation' }),
    last_seen: time.nullable(),
    last_error: text.nullable(),
    failures: count.meta({ description: 'In a row' }),
    latency_ms: z.number().min(0).nullable(),
    next_attempt: time.nullable(),
    pending: count.meta({ description: 'Your services and deletions that it has not taken yet' }),
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
