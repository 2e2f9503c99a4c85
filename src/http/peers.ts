/** Peers: other installations that are told of services, and what they tell. */
import { z } from 'zod';
import type { PeerView } from '../engine/peers.ts';
import { SIGNATURE_HEADER, TIMESTAMP_HEADER } from '../engine/sign-peer.ts';
import * as schemas from '../schemas/peers.ts';
import { bodyOf } from './body.ts';
import type { HttpDeps } from './deps.ts';
import { operation, type Routes, sendJson } from './operation.ts';
import { parse } from './parse.ts';

const tag = 'Registry';

export const listPeers = operation({
  id: 'listPeers',
  permission: 'registry:read',
  tag,
  method: 'get',
  path: '/peers',
  summary: 'The installations that `PEERS` names, and how they stand',
  answers: { 200: { description: 'All of them, in the order of the setting', schema: schemas.peerList } },
  problems: [401],
});

export const syncPeers = operation({
  id: 'syncPeers',
  permission: 'registry:write',
  tag,
  method: 'post',
  path: '/registry/sync-peers',
  summary: 'Tells all peers of all services that were registered here once more',
  description:
    'Registrations and deletions go to the peers by themselves, also to those that were away when they are back. This is ' +
    'for a peer that has lost what it knew. It answers when all have taken it or failed, and after 12 s in any case.',
  body: z.strictObject({}),
  bodyOptional: true,
  answers: { 200: { description: 'How much they have taken', schema: schemas.synced } },
  problems: [400, 401, 413, 415],
});

export const replicate = operation({
  id: 'replicate',
  permission: 'public',
  tag,
  method: 'post',
  path: '/registry/replicate',
  summary: 'What a peer tells of services that were registered with it',
  description:
    `Signed with PEER_SECRET: \`${TIMESTAMP_HEADER}\` is the time in seconds, \`${SIGNATURE_HEADER}\` is \`v1,\` and the base64 of ` +
    'HMAC-SHA256 over `<timestamp>.<SHA-256 in hex of the body as JSON with sorted keys and without spaces>`. Without that ' +
    'secret it takes what is not signed, where no credentials are asked for at all. The newer version of a service holds.',
  body: schemas.replicateRequest,
  headers: {
    [TIMESTAMP_HEADER]: 'Seconds since 1970; at most five minutes from now',
    [SIGNATURE_HEADER]: '`v1,<base64>`',
  },
  answers: { 200: { description: 'One result for each change', schema: schemas.replicated } },
  problems: [400, 401, 413, 415],
});

export function peerRoutes(routes: Routes, { peers }: HttpDeps): void {
  routes.serve(listPeers, async ({ caller, response }) => {
    const found = await peers.list(caller);
    sendJson(response, 200, { peers: found.map(present), count: found.length });
  });

  routes.serve(syncPeers, async ({ caller, response, signal }) => {
    sendJson(response, 200, await peers.sync(caller, signal));
  });

  // Its signature is its credential.
  routes.raw(replicate, async (request, response) => {
    const body = bodyOf(request) ?? {};
    const [timestamp, signature] = [request.get(TIMESTAMP_HEADER), request.get(SIGNATURE_HEADER)];
    sendJson(
      response,
      200,
      await peers.receive(() => parse(schemas.replicateRequest, body), { body, timestamp, signature }),
    );
  });
}

function present({
  url,
  id,
  status,
  lastSeenAt,
  lastError,
  failures,
  latencyMs,
  nextAt,
  pending,
}: PeerView): schemas.PeerAnswer {
  return {
    url,
    id,
    status,
    last_seen: lastSeenAt?.toISOString() ?? null,
    last_error: lastError,
    failures,
    latency_ms: latencyMs,
    next_attempt: nextAt.toISOString(),
    pending,
  };
}
