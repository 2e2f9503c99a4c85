/** The OpenAPI document and two readers of it, Swagger UI and ReDoc, all served from here: no page loads from elsewhere. */
import { createRequire } from 'node:module';
import path from 'node:path';
import express, { type RequestHandler, type Response } from 'express';
import { stringify } from 'yaml';
import { z } from 'zod';
import { taskSocket } from '../routes/task-socket.ts';
import type { HttpConfig } from './core.ts';
import { createApiDocument } from './openapi.ts';
import { endpoints, type Operation, operation, type Routes, sendJson } from './operation.ts';

const page = (id: string, at: string, summary: string) =>
  operation({
    id,
    permission: 'authenticated',
    tag: 'Service',
    method: 'get',
    path: at,
    summary,
    answers: {
      200: { description: 'A page', schema: z.string().meta({ example: '<!doctype html>' }), mediaType: 'text/html' },
    },
  });

export const getDocs = page('getDocs', '/docs', 'Get the API documentation in Swagger UI');
export const getRedoc = page('getRedoc', '/redoc', 'Get the API documentation in ReDoc');

const apiDocument = z.record(z.string(), z.unknown()).meta({ example: { openapi: '3.1.1' } });

export const getOpenApiJson = operation({
  id: 'getOpenApiJson',
  permission: 'authenticated',
  tag: 'Service',
  method: 'get',
  path: '/openapi.json',
  summary: 'Get the OpenAPI document as JSON',
  answers: { 200: { description: 'OpenAPI 3.1', schema: apiDocument } },
});

export const getOpenApiYaml = operation({
  id: 'getOpenApiYaml',
  permission: 'authenticated',
  tag: 'Service',
  method: 'get',
  path: '/openapi.yaml',
  summary: 'Get the OpenAPI document as YAML',
  answers: {
    200: {
      description: 'OpenAPI 3.1',
      schema: z.string().meta({ example: 'openapi: 3.1.1' }),
      mediaType: 'application/yaml',
    },
  },
});

const SOCKETS = [taskSocket];

interface Needs {
  config: Pick<HttpConfig, 'publicUrl' | 'version' | 'authentication'>;
  /** All that are served. */
  operations: readonly Operation[];
}

export const docsRoutes = endpoints([getDocs, getRedoc, getOpenApiJson, getOpenApiYaml], serve);

function serve(routes: Routes, { config, operations }: Needs): void {
  const { publicUrl, version, authentication } = config;
  // Takes some milliseconds: made at the first request.
  let made: ReturnType<typeof createApiDocument> | undefined;
  const document = () => {
    const issuer = authentication?.oidc?.issuer;
    made ??= createApiDocument(operations, { version, serverUrl: publicUrl, issuer, sockets: SOCKETS });
    return made;
  };
  const base = publicUrl === undefined ? '' : new URL(publicUrl).pathname.replace(/\/+$/, '');

  routes.serve(getOpenApiJson, ({ response }) => sendJson(response, 200, document()));
  routes.serve(getOpenApiYaml, ({ response }) => send(response, 'application/yaml', asYaml(document())));
  routes.serve(getDocs, ({ response }) => send(response, 'text/html', swaggerPage(base)));
  routes.serve(getRedoc, ({ response }) => send(response, 'text/html', redocPage(base)));
}

/** The document as it is committed: of no particular address. */
export function apiDocumentYaml(operations: readonly Operation[], version: string): string {
  return asYaml(createApiDocument(operations, { version, serverUrl: undefined, sockets: SOCKETS }));
}

function asYaml(document: object): string {
  return stringify(document, { lineWidth: 120, aliasDuplicateObjects: false });
}

/** The files that the two pages load, below /docs/assets and /redoc/assets. */
export function docsAssets(): Array<{ path: string; handler: RequestHandler }> {
  const require = createRequire(import.meta.url);
  const folder = (file: string) =>
    express.static(path.dirname(require.resolve(file)), { index: false, maxAge: '1h', fallthrough: true });
  return [
    { path: '/docs/assets/start.js', handler: script(SWAGGER_START) },
    { path: '/docs/assets', handler: folder('swagger-ui-dist/swagger-ui.css') },
    { path: '/redoc/assets/start.js', handler: script(REDOC_START) },
    { path: '/redoc/assets', handler: folder('redoc/bundles/redoc.standalone.js') },
  ];
}

const SWAGGER_START = `SwaggerUIBundle({
  url: new URL('../openapi.json', document.baseURI).href, dom_id: '#reader', deepLinking: true, validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis], tryItOutEnabled: true,
});
`;
const REDOC_START = `Redoc.init(new URL('../openapi.json', document.baseURI).href, {}, document.getElementById('reader'));
`;

function swaggerPage(base: string): string {
  return html(`${base}/docs/`, [
    '<link rel="stylesheet" href="assets/swagger-ui.css">',
    '<link rel="icon" type="image/png" href="assets/favicon-32x32.png">',
    '<script defer src="assets/swagger-ui-bundle.js"></script>',
  ]);
}

function redocPage(base: string): string {
  // The logo of ReDoc would come from its makers' server.
  return html(`${base}/redoc/`, [
    '<style>a[href*="redocly.com/redoc"] { display: none; }</style>',
    '<link rel="icon" href="data:,">',
    '<script defer src="assets/redoc.standalone.js"></script>',
  ]);
}

function html(base: string, head: string[]): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Orchestrator API</title>
<base href="${base.replaceAll('&', '&amp;').replaceAll('"', '&quot;')}">
${head.join('\n')}
<script defer src="assets/start.js"></script>
</head>
<body style="margin: 0"><div id="reader"></div></body>
</html>
`;
}

function script(text: string): RequestHandler {
  return (_request, response) => send(response, 'text/javascript', text);
}

function send(response: Response, mediaType: string, text: string): void {
  response.setHeader('Content-Type', `${mediaType}; charset=utf-8`);
  response.setHeader('Cache-Control', 'no-cache');
  response.end(text);
}
