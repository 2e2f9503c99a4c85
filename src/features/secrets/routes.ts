/** The secrets of a tenant: names, hosts and times are shown, values never. */

import { OrchestratorError } from '../../domain/errors.ts';
import { isSecretHost } from '../../domain/secret-hosts.ts';
import type { SecretView } from '../../engine/ports/secrets.ts';
import type { Links } from '../../http/server/links.ts';
import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { pageOf } from '../../http/server/paging.ts';
import type { Secrets } from './keep-secrets.ts';
import * as schemas from './schemas.ts';

const tag = 'Secrets';
const notFound = 'Secret not found';

export const putSecret = operation({
  id: 'putSecret',
  permission: 'secrets:write',
  tag,
  method: 'put',
  path: '/secrets/{name}',
  pathExamples: { name: 'API_TOKEN' },
  summary: 'Create or update a secret',
  description:
    'Tasks of this tenant use it as `{{secrets.NAME}}`; the value is encrypted and never shown. With `hosts` it is sent to no other host. Requires SECRETS_KEY.',
  body: schemas.secretRequestWith(isSecretHost),
  answers: {
    200: { description: 'Updated', schema: schemas.secret },
    201: { description: 'Created', schema: schemas.secret, headers: { Location: 'URL of the created resource' } },
  },
  problems: ['conflict', 'secrets_not_configured'],
});

export const listSecrets = operation({
  id: 'listSecrets',
  permission: 'secrets:read',
  tag,
  method: 'get',
  path: '/secrets',
  summary: 'List secrets',
  description: 'Returns the secrets by name, without their values.',
  query: schemas.secretListQuery,
  answers: { 200: { description: 'One page of results', schema: schemas.secretList } },
});

export const getSecret = operation({
  id: 'getSecret',
  permission: 'secrets:read',
  tag,
  method: 'get',
  path: '/secrets/{name}',
  pathExamples: { name: 'API_TOKEN' },
  summary: 'Get the metadata of a secret',
  description: 'The value is not included.',
  notFound,
  answers: { 200: { description: 'The secret', schema: schemas.secret } },
});

export const deleteSecret = operation({
  id: 'deleteSecret',
  permission: 'secrets:write',
  tag,
  method: 'delete',
  path: '/secrets/{name}',
  pathExamples: { name: 'API_TOKEN' },
  summary: 'Delete a secret',
  description: 'Tasks that refer to it fail from then on.',
  notFound,
  answers: { 204: { description: 'Deleted' } },
});

interface Needs {
  secrets: Secrets;
  links: Links;
}

export const secretRoutes = endpoints([putSecret, listSecrets, getSecret, deleteSecret], serve);

function serve(routes: Routes, { secrets, links }: Needs): void {
  routes.serve(putSecret, async ({ params, body, caller, response }) => {
    const name = params['name'] ?? '';
    if (!schemas.SECRET_NAME.test(name)) throw badName();
    const { secret, created } = await secrets.put(caller, name, body);
    if (created) response.setHeader('Location', links.at(`/secrets/${name}`));
    sendJson(response, created ? 201 : 200, present(secret));
  });

  routes.serve(listSecrets, async ({ query: { page, page_size: pageSize }, caller, response }) => {
    const { items, total } = await secrets.list(caller, page, pageSize);
    sendJson(response, 200, { items: items.map(present), ...pageOf(page, pageSize, total) });
  });

  routes.serve(getSecret, async ({ params, caller, response }) => {
    sendJson(response, 200, present(await secrets.get(caller, params['name'] ?? '')));
  });

  routes.serve(deleteSecret, async ({ params, caller, response }) => {
    await secrets.remove(caller, params['name'] ?? '');
    response.status(204).end();
  });
}

function badName(): OrchestratorError {
  const message = 'must be 1 to 128 letters, digits, _ and -, with a letter or _ at the beginning';
  return new OrchestratorError('invalid_request', `name ${message}`, { errors: [{ path: 'name', message }] });
}

function present(secret: SecretView): schemas.SecretAnswer {
  return {
    name: secret.name,
    hosts: secret.hosts ?? null,
    description: secret.description,
    version: secret.version,
    created_by: secret.createdBy,
    updated_by: secret.updatedBy,
    created_at: secret.createdAt.toISOString(),
    updated_at: secret.updatedAt.toISOString(),
  };
}
