import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Express } from 'express';
import { afterEach, expect, test } from 'vitest';
import { parse } from 'yaml';
import { operationsOf } from '../../../src/compose/features.ts';
import { apiDocumentYaml } from '../../../src/http/server/docs.ts';
import { expressPath } from '../../../src/http/server/operation.ts';
import { projectRoot } from '../../../src/project-root.ts';
import { appOf, type Door, memory, openDoor } from '../../support/http-app.ts';

const API_OPERATIONS = await operationsOf();

interface Document {
  openapi: string;
  paths: Record<
    string,
    Record<string, { operationId: string; responses: Record<string, unknown>; 'x-websocket'?: unknown }>
  >;
}
const doors: Door[] = [];
afterEach(async () => {
  await Promise.all(doors.splice(0).map((door) => door.close()));
});
async function open(): Promise<Door> {
  const door = await openDoor();
  doors.push(door);
  return door;
}

/** `get /result/:task_id`, of all that the router serves. */
function served(app: Express): string[] {
  const layers = app.router.stack.flatMap(({ route }) => (route === undefined ? [] : [route]));
  return layers.flatMap((route) => {
    const methods = new Set(route.stack.flatMap(({ method }) => (typeof method === 'string' ? [method] : [])));
    return [...methods].map((method) => `${method} ${route.path}`);
  });
}

test('every route is in the document, and every operation of the document is served', async () => {
  const door = await open();
  const document = (await (await door.fetch('/openapi.json')).json()) as Document;
  const described = Object.entries(document.paths).flatMap(([at, item]) =>
    Object.entries(item)
      .filter(([, operation]) => operation['x-websocket'] === undefined)
      .map(([method]) => `${method} ${expressPath(at)}`),
  );
  expect(described.sort()).toEqual(served(appOf(memory().deps)).sort());
  expect(described.length).toBeGreaterThan(20);
});

test('operations have ids of their own, and every reference of the document leads somewhere', async () => {
  const door = await open();
  const text = await (await door.fetch('/openapi.json')).text();
  const document = JSON.parse(text) as Document & Record<string, unknown>;
  expect(document.openapi).toBe('3.1.1');
  const ids = Object.values(document.paths).flatMap((item) =>
    Object.values(item).map(({ operationId }) => operationId),
  );
  expect(new Set(ids).size).toBe(ids.length);
  const references = [...text.matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, reference = '']) => reference);
  expect(references.length).toBeGreaterThan(10);
  for (const reference of references) {
    const target = reference
      .split('/')
      .reduce<unknown>((at, step) => (at as Record<string, unknown> | undefined)?.[step], document);
    expect(target, reference).toBeDefined();
  }
});

test('the committed document is the one served', async () => {
  const { version } = JSON.parse(readFileSync(path.join(projectRoot(), 'package.json'), 'utf8')) as { version: string };
  const committed = readFileSync(path.join(projectRoot(), 'contracts', 'openapi.yaml'), 'utf8');
  expect(apiDocumentYaml(API_OPERATIONS, version), 'run: npm run openapi').toBe(committed);
});

test('the document is served as YAML too', async () => {
  const door = await open();
  const yaml = await (await door.fetch('/openapi.yaml')).text();
  expect(parse(yaml)).toEqual(await (await door.fetch('/openapi.json')).json());
});

test.each(['/docs', '/redoc'])('%s loads everything from here', async (at) => {
  const door = await open();
  const page = await (await door.fetch(at)).text();
  const base = /<base href="([^"]+)">/.exec(page)?.[1] ?? '';
  const files = [...page.matchAll(/(?:src|href)="([^"]+)"/g)]
    .map(([, file = '']) => file)
    .filter((file) => file !== base && !file.startsWith('data:'));
  expect(files.length).toBeGreaterThan(1);
  for (const file of files) {
    expect(file).not.toMatch(/^(?:https?:)?\/\//);
    const answer = await door.fetch(new URL(file, `${door.url}${base}`).pathname);
    expect(answer.status, file).toBe(200);
    expect((await answer.arrayBuffer()).byteLength, file).toBeGreaterThan(50);
  }
  expect(page).not.toMatch(/<script(?![^>]*src=)/);
});
