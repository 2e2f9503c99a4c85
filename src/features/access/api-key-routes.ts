/** API keys of a tenant. A key is shown when it is made or replaced, and never again. */

import { accessOf } from '../../http/middleware/context.ts';
import type { Links } from '../../http/server/links.ts';
import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { pageOf } from '../../http/server/paging.ts';
import type { ApiKey } from './api-key-ports.ts';
import * as schemas from './api-key-schemas.ts';
import type { ApiKeys } from './manage-api-keys.ts';

const tag = 'Service';
const notFound = 'API key not found';

export const createApiKey = operation({
  id: 'createApiKey',
  permission: 'keys:write',
  tag,
  method: 'post',
  path: '/api-keys',
  summary: 'Create an API key',
  description:
    'The key belongs to the tenant and has no more permissions than the caller. The response contains the key, which is not stored and not shown again. Keys are effective where authentication is configured, within five seconds.',
  body: schemas.apiKeyRequest,
  answers: {
    201: { description: 'Created', schema: schemas.issuedApiKey, headers: { Location: 'URL of the created resource' } },
  },
  problems: ['conflict'],
});

export const listApiKeys = operation({
  id: 'listApiKeys',
  permission: 'keys:read',
  tag,
  method: 'get',
  path: '/api-keys',
  summary: 'List API keys',
  description:
    'Returns the keys of the tenant, newest first, without the keys themselves. Revoked and expired keys are listed for a month.',
  query: schemas.apiKeyListQuery,
  answers: { 200: { description: 'One page of results', schema: schemas.apiKeyList } },
});

export const getApiKey = operation({
  id: 'getApiKey',
  permission: 'keys:read',
  tag,
  method: 'get',
  path: '/api-keys/{api_key_id}',
  summary: 'Get an API key',
  description: 'The key itself is not included.',
  notFound,
  answers: { 200: { description: 'The properties of the key', schema: schemas.apiKey } },
});

export const rotateApiKey = operation({
  id: 'rotateApiKey',
  permission: 'keys:write',
  tag,
  method: 'post',
  path: '/api-keys/{api_key_id}/rotate',
  summary: 'Rotate an API key',
  description:
    'The key is replaced by a new one with the same permissions. The replaced key stays valid for `grace_seconds`; a key that was replaced earlier expires at once. The caller must have all the permissions of the key.',
  body: schemas.rotateRequest,
  bodyOptional: true,
  notFound,
  answers: { 200: { description: 'Replaced', schema: schemas.issuedApiKey } },
  problems: ['conflict'],
});

export const revokeApiKey = operation({
  id: 'revokeApiKey',
  permission: 'keys:write',
  tag,
  method: 'delete',
  path: '/api-keys/{api_key_id}',
  summary: 'Revoke an API key',
  description: 'Every process rejects the key within five seconds.',
  notFound,
  answers: { 204: { description: 'Revoked' } },
});

interface Needs {
  apiKeys: ApiKeys;
  links: Links;
}

export const apiKeyRoutes = endpoints([createApiKey, listApiKeys, getApiKey, rotateApiKey, revokeApiKey], serve);

function serve(routes: Routes, { apiKeys, links }: Needs): void {
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
