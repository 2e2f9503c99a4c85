/** The adapters that the service's own workflows use, alone. */
import { createHash } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import type { NewDocument } from '../../../src/features/platform/ports.ts';
import { runReport } from '../../../src/features/platform/run-report-adapter.ts';
import { storeDocument } from '../../../src/features/platform/store-document-adapter.ts';
import { createPlatformAccess } from '../../../src/features/platform/task-access.ts';
import { findService } from '../../../workers/adapters/find-service.ts';
import { type AdapterContextOptions, adapterContext, type TestContext } from '../../support/adapter-context.ts';
import { failureOf, runAdapter } from '../../support/run-adapter.ts';

const AT = new Date('2030-01-01T12:00:00.000Z');
const open: TestContext[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map(({ close }) => close()));
});
function contextWith(options: AdapterContextOptions) {
  const made = adapterContext(options);
  open.push(made);
  return made.context;
}

/** A platform that stores `room` documents, with three runs. */
function platform(room = 10) {
  const saved: Array<[tenantId: string, document: NewDocument]> = [];
  const access = createPlatformAccess({
    documents: {
      async save(tenantId, document) {
        if (saved.length >= room) return undefined;
        saved.push([tenantId, document]);
        return { id: document.id, contentHash: document.contentHash, createdAt: AT };
      },
    },
    report: {
      statuses: async (...asking) => (asking.join() === 'acme,run-1' ? ['completed', 'failed', 'running'] : []),
      events: async (...asking) => (asking.join() === 'acme,run-1' ? [{ kind: 'run.failed', actionId: null }] : []),
    },
  });
  const engine = access({ run: { id: 'run-1', tenantId: 'acme' }, actionId: 'own[3]' });
  return { saved, context: contextWith({ engine }) };
}

describe('find_service', () => {
  const services = { source_agent: 'http://agent', github_agent: 'http://github' };

  test('gives the first name that is known, or null', async () => {
    const context = contextWith({ services });
    const find = (...names: string[]) => runAdapter(findService, { names }, context);
    expect(await find('jira_agent', 'source_agent', 'github_agent')).toEqual({ service: 'source_agent' });
    expect(await find('github_agent', 'source_agent')).toEqual({ service: 'github_agent' });
    expect(await find('jira_agent')).toEqual({ service: null });
  });

  test('fails for good when one is required and none is known', async () => {
    const config = { names: ['a', 'b'], required: true };
    const failure = await failureOf(runAdapter(findService, config, contextWith({ services })));
    expect(failure).toMatchObject({
      name: 'NonRetryableError',
      code: 'service_unknown',
      message: 'none of the services a, b is known: register one of them',
    });
  });
});

describe('store_document', () => {
  test('saves under its id, or under one of the task that every attempt has', async () => {
    const { saved, context } = platform();
    const content_hash = createHash('sha256').update('Grüße').digest('hex');
    const created_at = AT.toISOString();
    expect(await runAdapter(storeDocument, { id: 'a', content: 'Grüße', metadata: { b: 1 } }, context)).toEqual({
      id: 'a',
      content_hash,
      created_at,
    });
    expect(await runAdapter(storeDocument, { id: null, content: 'Grüße', metadata: null }, context)).toEqual({
      id: 'run-1.own[3]',
      content_hash,
      created_at,
    });
    const common = { content: 'Grüße', contentHash: content_hash, runId: 'run-1' };
    expect(saved).toEqual([
      ['acme', { ...common, id: 'a', metadata: { b: 1 } }],
      ['acme', { ...common, id: 'run-1.own[3]', metadata: undefined }],
    ]);
  });

  test('rejects what is too large in bytes, and more than there is room for', async () => {
    const { saved, context } = platform(1);
    const of = (content: string) => storeDocument.config.safeParse({ content }).success;
    expect([of('ä'.repeat(524_288)), of('ä'.repeat(524_289))]).toEqual([true, false]);
    await runAdapter(storeDocument, { content: 'one' }, context);
    await expect(runAdapter(storeDocument, { content: 'two' }, context)).rejects.toMatchObject({ code: 'conflict' });
    expect(saved).toHaveLength(1);
  });
});

test('run_report reports the runs of the tenant, without its own', async () => {
  expect(await runAdapter(runReport, { limit: 5, service: null }, platform().context)).toEqual({
    summary: { total: 2, by_severity: { low: 1, high: 1 } },
    log_analysis: {
      overview: { count: 1, by_level: { error: 1 } },
      sample: [{ service: 'orchestrator', level: 'error', message: 'workflow run failed' }],
    },
  });
});
