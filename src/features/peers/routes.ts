/** Peers: other installations that exchange registered services with this one. */

import { bodyOf } from '../../http/middleware/body.ts';
import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { parse } from '../../http/server/parse.ts';
import { emptyBody } from '../../schemas/requests.ts';
import type { Peers, PeerView } from './exchange.ts';
import * as schemas from './schemas.ts';
import { SIGNATURE_HEADER, TIMESTAMP_HEADER } from './sign-peer.ts';

const tag = 'Registry';

export const listPeers = operation({
  id: 'listPeers',
  permission: 'registry:read',
  tag,
  method: 'get',
  path: '/peers',
  summary: 'List peer installations',
  description: 'Returns the installations in `PEERS` with their status.',
  answers: { 200: { description: 'All peers, in the order of the setting', schema: schemas.peerList } },
});

export const syncPeers = operation({
  id: 'syncPeers',
  permission: 'registry:write',
  tag,
  method: 'post',
  path: '/registry/sync-peers',
  summary: 'Send all registered services to all peers again',
  description:
    'Registrations and deletions are replicated to the peers automatically, also to unavailable ones once they are back. This is for a peer that has lost its data. The response is sent when all peers have received the changes or failed, and after 12 s at the latest.',
  body: emptyBody,
  bodyOptional: true,
  answers: { 200: { description: 'Number of changes received by the peers', schema: schemas.synced } },
});

export const replicate = operation({
  id: 'replicate',
  permission: 'public',
  signedBy: 'peer',
  tag,
  method: 'post',
  path: '/registry/replicate',
  summary: 'Receive replicated service changes from a peer',
  description:
    `Requests are signed with PEER_SECRET: \`${TIMESTAMP_HEADER}\` is the time in seconds, \`${SIGNATURE_HEADER}\` is \`v1,\` and the base64 of ` +
    'HMAC-SHA256 over `<timestamp>.<SHA-256 in hex of the body as JSON with sorted keys and without spaces>`. Without that ' +
    'secret, unsigned requests are accepted if the API requires no credentials at all. The newer version of a service wins.',
  body: schemas.replicateRequest,
  headers: {
    [TIMESTAMP_HEADER]: 'Unix time in seconds; at most five minutes from now',
    [SIGNATURE_HEADER]: '`v1,<base64>`',
  },
  answers: { 200: { description: 'One result for each change', schema: schemas.replicated } },
});

interface Needs {
  peers: Peers;
}

export const peerRoutes = endpoints([listPeers, syncPeers, replicate], serve);

function serve(routes: Routes, { peers }: Needs): void {
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
