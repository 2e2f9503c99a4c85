/** The OpenAPI document of a service, from the schemas that check its requests and answers. */
import { z } from 'zod';
import { createDocument, type ZodOpenApiOperationObject, type ZodOpenApiPathsObject } from 'zod-openapi';
import type { Route } from './route.ts';

const refused = z.object({ error: z.string() });

export function describeService(
  about: { name: string; description: string; version: string },
  routes: readonly Route[],
): object {
  const paths: ZodOpenApiPathsObject = {};
  for (const route of routes) paths[route.path] = { ...paths[route.path], [route.method]: operation(route) };
  return createDocument({
    openapi: '3.1.1',
    info: { title: about.name, description: about.description, version: about.version },
    paths,
  });
}

function operation(route: Route): ZodOpenApiOperationObject {
  const inPath = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name);
  const only = (wanted: boolean) =>
    z.object(
      Object.fromEntries(Object.entries(route.input.shape).filter(([name]) => inPath.includes(name) === wanted)),
    );
  return {
    operationId: `${route.method}${route.path.replaceAll(/\W+/g, '_')}`.replace(/_$/, ''),
    summary: route.summary,
    ...(route.method === 'get'
      ? { requestParams: { path: only(true), query: only(false) } }
      : { requestBody: { content: { 'application/json': { schema: route.input } } } }),
    responses: {
      [String(route.status)]: {
        description: 'Done.',
        content: { 'application/json': { schema: route.answer } },
      },
      '400': { description: 'Not understood.', content: { 'application/json': { schema: refused } } },
    },
  };
}
