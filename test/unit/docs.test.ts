/** The documents say what the code does: whatever can be compared is. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { checksum } from '../../examples/adapters/checksum.ts';
import { VARIABLES } from '../../src/config/variables.ts';
import { allErrorCodes, describe as describeCode } from '../../src/domain/errors.ts';
import { normaliseDefinition } from '../../src/domain/normalise.ts';
import { createCatalogue } from '../../workers/catalogue.ts';
import { SHIPPED_ADAPTERS } from '../../workers/shipped-adapters.ts';
import { adapterContext } from '../support/adapter-context.ts';
import { checks } from '../support/checks.ts';
import { startHttpServer } from '../support/http-server.ts';
import { failureOf, runAdapter } from '../support/run-adapter.ts';

const README = readFileSync('README.md', 'utf8');
const DECISIONS = readdirSync('docs/decisions').sort();
const DOCUMENTS = [
  'README.md',
  'docs/errors.md',
  'docs/changes.md',
  'docs/faults.md',
  'docs/semantics.md',
  ...DECISIONS.map((name) => `docs/decisions/${name}`),
];

describe('docs/errors.md', () => {
  const errors = readFileSync('docs/errors.md', 'utf8');
  const sections = new Map(
    errors
      .split(/^### /m)
      .slice(1)
      .map((section): [string, string] => [section.split('\n', 1)[0] ?? '', section]),
  );

  test('explains every code of the catalogue, and no other, in its order', () => {
    expect([...sections.keys()]).toEqual(allErrorCodes());
  });

  test.each(allErrorCodes())('%s has its status and title, what happened, why, and what to do', (code) => {
    const section = sections.get(code) ?? '';
    const { status, title, retryable } = describeCode(code);
    expect(section.split('\n')[1]).toBe(`${status} · ${title} · ${retryable ? '' : 'not '}tried again`);
    for (const part of ['What happened', 'Why', 'What to do'])
      expect(section).toMatch(new RegExp(`^\\*\\*${part}\\.\\*\\* \\S`, 'm'));
  });
});

describe('the adapter of the README', () => {
  test('is the one in examples/adapters, but for the folder that it imports from', () => {
    const shown = blocks('ts').join('');
    const file = readFileSync('examples/adapters/checksum.ts', 'utf8');
    expect(shown).toBe(file.replace('../../workers/adapter.ts', '../adapter.ts'));
  });

  test('is known to a catalogue that has it, with its schemas', () => {
    const catalogue = createCatalogue([...SHIPPED_ADAPTERS, checksum]);
    expect(catalogue.names()).toContain('checksum');
    expect(catalogue.check('checksum', { url: 'https://example.org/a' }, checks)).toEqual([]);
    expect(catalogue.check('checksum', { uri: 'https://example.org/a' }, checks)).not.toEqual([]);
    expect(catalogue.list().find(({ action_type }) => action_type === 'checksum')).toMatchObject({
      output_schema: { properties: { sha256: { type: 'string' }, bytes: { type: 'integer' } } },
    });
  });

  test('answers the checksum and the size of what a URL answers, and ends when there is too much of it', async () => {
    const server = await startHttpServer((_request, response) => void response.end('hello'));
    const { context, close } = adapterContext();
    try {
      const sha256 = createHash('sha256').update('hello').digest('hex');
      expect(await runAdapter(checksum, { url: server.url }, context)).toEqual({ sha256, bytes: 5 });
      const failure = await failureOf(runAdapter(checksum, { url: server.url, max_bytes: 4 }, context));
      expect(failure).toMatchObject({ name: 'NonRetryableError', message: `${server.url} exceeds 4 bytes` });
    } finally {
      await close();
      await server.close();
    }
  });
});

describe('the README', () => {
  const catalogue = createCatalogue();
  const action = { action_id: 'a', action_type: 'test_task' };
  const rules = { ...catalogue, checks };

  test('names the action types that there are, and as missing only those that there are not', () => {
    expect(named('\nAction types: ').sort()).toEqual([...catalogue.names()]);
    expect(named('**Action types**: ').filter((type) => catalogue.canonical(type) !== undefined)).toEqual([]);
  });

  test.each(named('**In definitions**: '))(
    'says that %s is not there yet, and a definition with it is refused',
    (field) => {
      const definitions = [
        { name: 'w', actions: [{ ...action, [field]: {} }] },
        { name: 'w', actions: [action], [field]: {} },
      ];
      const codes = definitions.map((definition) => codeOf(() => normaliseDefinition(definition, rules)));
      expect(codes).toContain('definition_invalid');
    },
  );

  test('names only npm scripts that exist', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
    const used = [...README.matchAll(/npm (?:run )?([a-z][\w:-]*)/g)].map(([, name]) => name ?? '');
    expect(used.length).toBeGreaterThan(5);
    expect(used.filter((name) => !Object.hasOwn(scripts, name))).toEqual([]);
  });
});

describe.each(DOCUMENTS)('%s', (document) => {
  const text = readFileSync(document, 'utf8');

  test('links to files that exist', () => {
    const targets = [...text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, target]) => target ?? '');
    const files = targets.filter((target) => !/^[a-z]+:/.test(target));
    expect(files.filter((file) => !existsSync(path.join(path.dirname(document), file)))).toEqual([]);
  });

  test('names only variables that exist', () => {
    const known = new Set([...Object.keys(VARIABLES), 'SECRET_', '_URL', 'SHIPPED_ADAPTERS']);
    const used = [...text.matchAll(/`([A-Z][A-Z]*_[A-Z_]*)(?:=[^`]*|<NAME>)?`/g)].map(([, name]) => name ?? '');
    expect(used.filter((name) => !known.has(name))).toEqual([]);
  });
});

test('decisions are numbered without a gap, and each says its context, the decision and what follows', () => {
  expect(DECISIONS.map((name) => name.slice(0, 4))).toEqual(
    DECISIONS.map((_, index) => String(index + 1).padStart(4, '0')),
  );
  for (const name of DECISIONS) {
    const headings = readFileSync(`docs/decisions/${name}`, 'utf8').match(/^## .*/gm);
    expect(
      headings?.filter((heading) => heading !== '## Measurements'),
      name,
    ).toEqual(['## Context', '## Decision', '## Consequences']);
  }
});

function blocks(language: string): string[] {
  return [...README.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(
    ([, block]) => block ?? '',
  );
}

/** The words in backticks of the paragraph that begins so. */
function named(beginning: string): string[] {
  const paragraph = README.split(beginning)[1]?.split('\n')[0]?.split('. ')[0] ?? '';
  return [...paragraph.matchAll(/`(\w+)`/g)].map(([, word]) => word ?? '');
}

function codeOf(work: () => unknown): unknown {
  try {
    work();
    return undefined;
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error;
  }
}
