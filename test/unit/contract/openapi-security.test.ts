import { expect, test } from 'vitest';
import { operationsOf } from '../../../src/compose/features.ts';
import { createApiDocument } from '../../../src/http/server/openapi.ts';
import { readContract } from '../../support/contract/document.ts';

const document = readContract();
const operations = Object.values(document.paths).flatMap((item) => Object.values(item));

/** The schemes of an operation; one of them is enough. */
function schemesOf({ security = document.security }: (typeof operations)[number]): string[] {
  return security.flatMap((one) => Object.keys(one));
}

test('every operation takes every means of authentication, but those that are open', () => {
  const open = operations.filter((operation) => !schemesOf(operation).includes('bearer'));
  expect(open.map(({ operationId }) => operationId).sort()).toEqual([
    ...['beginLogin', 'decideByLink', 'finishLogin', 'getHealth', 'getHealthz', 'getLivez', 'getReady', 'getReadyz'],
    ...['logout', 'replicate', 'viewApprovalLink', 'viewLogout'],
  ]);
  const others = operations.filter((operation) => !open.includes(operation));
  for (const operation of others) {
    expect(schemesOf(operation), operation.operationId).toEqual(
      expect.arrayContaining(['apiKey', 'bearer', 'openIdConnect', 'session', 'mutualTls']),
    );
  }
});

test('signatures are a means of the two operations that verify them', () => {
  const signed = operations.filter((one) => schemesOf(one).some((scheme) => ['webhook', 'peer'].includes(scheme)));
  expect(signed.map(({ operationId }) => operationId).sort()).toEqual(['receiveEvents', 'replicate']);
});

test('every scheme that an operation names is described, and each described one is named', () => {
  const named = new Set(operations.flatMap(schemesOf));
  expect([...named].sort()).toEqual(Object.keys(document.components.securitySchemes).sort());
});

test('the served document has the provider at which browsers log in', async () => {
  const made = createApiDocument(await operationsOf(), {
    version: '1.0.0',
    serverUrl: 'https://flows.example',
    issuer: 'https://id.example/realm/',
  });
  expect(made.components?.securitySchemes?.['openIdConnect']).toMatchObject({
    openIdConnectUrl: 'https://id.example/realm/.well-known/openid-configuration',
  });
});
