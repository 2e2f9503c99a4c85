/** API keys of a tenant. A key is shown when it is made or replaced, and never again. */
import type { ApiKey } from '../engine/api-key-ports.ts';
import * as schemas from '../schemas/api-keys.ts';
import { accessOf } from './context.ts';
import type { HttpDeps } from './deps.ts';
import type { Links } from './links.ts';
import { operation, type Routes, sendJson } from './operation.ts';
import { pageOf } from './paging.ts';

const tag = 'Service';
const notFound = 'API key not found';

export const createApiKey = operation({
  id: 'createApiKey',
  permission: 'keys:write',
  tag,
  method: 'post',
  path: '/api-keys',
  summary: 'Makes a key of this tenant',
  description:
    'It may do no more than who makes it. The answer has the key, which is not kept and not shown again. It counts where ' +
    'authentication is configured, at the latest five seconds from now.',
  body: schemas.apiKeyRequest,
  answers: { 201: { description: 'Made', schema: schemas.issuedApiKey, headers: { Location: 'Where it is' } } },
  problems: [400, 401, 403, 409, 413, 415],
});

export const listApiKeys = operation({
  id: 'listApiKeys',
  permission: 'keys:read',
  tag,
  method: 'get',
  path: '/api-keys',
  summary: 'The keys of this tenant, newest first, without the keys themselves',
  description: 'Those that were revoked or have expired stay for a month.',
  query: schemas.apiKeyListQuery,
  answers: { 200: { description: 'One page', schema: schemas.apiKeyList } },
  problems: [400, 401, 403],
});

export const getApiKey = operation({
  id: 'getApiKey',
  permission: 'keys:read',
  tag,
  method: 'get',
  path: '/api-keys/{api_key_id}',
  summary: 'A key, without the key itself',
  notFound,
  answers: { 200: { description: 'What is known of it', schema: schemas.apiKey } },
  problems: [401, 403, 404],
});

export const rotateApiKey = operation({
  id: 'rotateApiKey',
  permission: 'keys:write',
  tag,
  method: 'post',
  path: '/api-keys/{api_key_id}/rotate',
  summary: 'Replaces a key by another one that may do the same',
  description:
    'The one that is replaced goes on holding for `grace_seconds`; one that was replaced before ends. Only who may do what the ' +
    'key may do can replace it.',
  body: schemas.rotateRequest,
  bodyOptional: true,
  notFound,
  answers: { 200: { description: 'Replaced', schema: schemas.issuedApiKey } },
  problems: [400, 401, 403, 404, 409, 413, 415],
});

export const revokeApiKey = operation({
  id: 'revokeApiKey',
  permission: 'keys:write',
  tag,
  method: 'delete',
  path: '/api-keys/{api_key_id}',
  summary: 'Revokes a key; every process refuses it within five seconds',
  notFound,
  answers: { 204: { description: 'Revoked' } },
  problems: [401, 403, 404],
});

export function apiKeyRoutes(routes: Routes, { apiKeys }: HttpDeps, links: Links): void {
  routes.serve(createApiKey, async ({ body, caller, response }) => {
    const { apiKey, key } = await apiKeys.create({ caller, access: accessOf(response) }, body);
    response.setHeader('Location', links.at(`/api-keys/${apiKey.id}`));
    sendJson(response, 201, { ...present(apiKey), key });
  });

  routes.serve(listApiKeys, async ({ query: { page, page_size: pageSize }, caller, response }) => {
    const { items, total } = await apiKeys.list(caller, page, pageSize);
    sendJson(response, 200, { items: items.map(present), ...pageOf(page, pageSize, total) });
  });

  routes.serve(getApiKey, async ({ params, caller, response }) => {
    sendJson(response, 200, present(await apiKeys.get(caller, idOf(params))));
  });

  routes.serve(rotateApiKey, async ({ params, body, caller, response }) => {
    const grantor = { caller, access: accessOf(response) };
    const { apiKey, key } = await apiKeys.rotate(grantor, idOf(params), body.grace_seconds);
    sendJson(response, 200, { ...present(apiKey), key });
  });

  routes.serve(revokeApiKey, async ({ params, caller, response }) => {
    await apiKeys.revoke(caller, idOf(params));
    response.status(204).end();
  });
}

function idOf(params: Record<string, string>): string {
  return params['api_key_id'] ?? '';
}

function present(key: ApiKey): object {
  return {
    api_key_id: key.id,
    name: key.name,
    prefix: key.prefix,
    user_id: `api-key-${key.id}`,
    roles: key.roles,
    scopes: key.scopes ?? null,
    expires_at: key.expiresAt,
    created_by: key.createdBy,
    created_at: key.createdAt,
    rotated_at: key.rotatedAt,
    previous_valid_until: key.previousUntil,
    last_used_at: key.lastUsedAt,
    revoked_at: key.revokedAt,
  };
}
