/** The documents say what the code does: whatever can be compared is. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { checksum } from '../../examples/adapters/checksum.ts';
import { shippedCatalogue } from '../../src/compose/features.ts';
import { VARIABLES } from '../../src/config/variables.ts';
import { normaliseDefinition } from '../../src/domain/definition/normalise.ts';
import { allErrorCodes, describe as describeCode } from '../../src/domain/errors.ts';
import { createCatalogue } from '../../workers/catalogue.ts';
import { SHIPPED_ADAPTERS } from '../../workers/shipped-adapters.ts';
import { adapterContext } from '../support/adapter-context.ts';
import { checks } from '../support/checks.ts';
import { startHttpServer } from '../support/http-server.ts';
import { failureOf, runAdapter } from '../support/run-adapter.ts';

const README = readFileSync('README.md', 'utf8');
const ADAPTERS = readFileSync('docs/guide/adapters.md', 'utf8');
const WORKFLOWS = readFileSync('docs/guide/workflows.md', 'utf8');
const INDEX = 'docs/README.md';
const INDEX_OF_DECISIONS = 'docs/decisions/README.md';
const DECISIONS = readdirSync('docs/decisions')
  .filter((name) => name !== 'README.md')
  .sort();
const DOCUMENTS = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', ...markdownBelow('docs')];
/** They also name variables of tests, of other programs and of the older platform, or are tied to the table of settings already. */
const NAME_OTHER_VARIABLES = ['configuration', 'migrations', 'platform', 'security', 'testing'].map(
  (name) => `docs/${name}.md`,
);
/** Further words in capitals that a page may put in backticks. */
const NO_VARIABLES = ['SECRET_', '_URL', 'SHIPPED_ADAPTERS'];

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

describe('the adapter of the guide', () => {
  test('is the one in examples/adapters, but for the folder that it imports from', () => {
    const shown = blocks(ADAPTERS, 'ts').join('');
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

describe('the README and the guide', () => {
  const catalogue = shippedCatalogue();
  const action = { action_id: 'a', action_type: 'test_task' };
  const rules = { ...catalogue, checks };

  test('the README has at most 130 lines', () => {
    expect(README.trimEnd().split('\n').length).toBeLessThanOrEqual(130);
  });

  test('name the action types that there are, and as missing only those that there are not', () => {
    expect(named(WORKFLOWS, '\nAction types: ').sort()).toEqual([...catalogue.names()]);
    const missing = named(README, '**Action types**: ');
    expect(missing.length).toBeGreaterThan(0);
    expect(missing.filter((type) => catalogue.canonical(type) !== undefined)).toEqual([]);
  });

  test.each(named(README, '**In definitions**: '))(
    'say that %s is not there yet, and a definition with it is refused',
    (field) => {
      const definitions = [
        { name: 'w', actions: [{ ...action, [field]: {} }] },
        { name: 'w', actions: [action], [field]: {} },
      ];
      const codes = definitions.map((definition) => codeOf(() => normaliseDefinition(definition, rules)));
      expect(codes).toContain('definition_invalid');
    },
  );

  test('name npm scripts, which are looked at page by page', () => {
    expect(scriptsIn(DOCUMENTS.map((document) => readFileSync(document, 'utf8')).join()).length).toBeGreaterThan(50);
  });
});

describe.each(DOCUMENTS)('%s', (document) => {
  const text = readFileSync(document, 'utf8');

  test('links to files that exist, and to headings that they have', () => {
    expect(linksIn(text).filter((link) => !leadsSomewhere(document, link))).toEqual([]);
  });

  test('names only npm scripts that exist', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
    expect(scriptsIn(text).filter((name) => !Object.hasOwn(scripts, name))).toEqual([]);
  });
});

test.each(DOCUMENTS.filter((document) => !NAME_OTHER_VARIABLES.includes(document)))(
  '%s names only variables that exist',
  (document) => {
    const known = new Set([...Object.keys(VARIABLES), ...NO_VARIABLES]);
    const text = readFileSync(document, 'utf8');
    const used = [...text.matchAll(/`([A-Z][A-Z]*_[A-Z_]*)(?:=[^`]*|<NAME>)?`/g)].map(([, name]) => name ?? '');
    expect(used.filter((name) => !known.has(name))).toEqual([]);
  },
);

describe('the index of the documentation', () => {
  test('has every page once, decisions aside', () => {
    const pages = markdownBelow('docs').filter((page) => page !== INDEX && !page.startsWith('docs/decisions/'));
    const listed = pagesListedIn(INDEX).filter((page) => page.startsWith('docs/') && page !== INDEX_OF_DECISIONS);
    expect(listed.sort()).toEqual(pages.sort());
    expect(pagesListedIn(INDEX)).toContain(INDEX_OF_DECISIONS);
  });

  test('has every decision once, in that of the decisions', () => {
    expect(pagesListedIn(INDEX_OF_DECISIONS).sort()).toEqual(DECISIONS.map((name) => `docs/decisions/${name}`));
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

function markdownBelow(folder: string): string[] {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return names
    .filter((name) => name.endsWith('.md'))
    .map((name) => path.posix.join(folder, name.split(path.sep).join('/')))
    .sort();
}

function blocks(text: string, language: string): string[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(
    ([, block]) => block ?? '',
  );
}

/** The words in backticks of the paragraph that begins so. */
function named(text: string, beginning: string): string[] {
  const paragraph = text.split(beginning)[1]?.split('\n')[0]?.split('. ')[0] ?? '';
  return [...paragraph.matchAll(/`(\w+)`/g)].map(([, word]) => word ?? '');
}

function scriptsIn(text: string): string[] {
  return [...text.matchAll(/\bnpm (?:(start|test)\b|run ([a-z][\w:-]*))/g)].map(
    ([, short, name]) => short ?? name ?? '',
  );
}

function withoutFences(text: string): string {
  return text.replaceAll(/^```[\s\S]*?^```$/gm, '');
}

/** Targets of links within the repository. What stands in code is no link. */
function linksIn(text: string): string[] {
  const prose = withoutFences(text).replaceAll(/`[^`\n]*`/g, 'code');
  return [...prose.matchAll(/\]\(([^)\s]+)[^)]*\)/g)]
    .map(([, target]) => target ?? '')
    .filter((target) => !/^[a-z]+:/.test(target));
}

function leadsSomewhere(document: string, link: string): boolean {
  const [file = '', anchor] = link.split('#');
  const target = file === '' ? document : path.join(path.dirname(document), file);
  if (!existsSync(target)) return false;
  return anchor === undefined || anchorsOf(readFileSync(target, 'utf8')).has(anchor);
}

/** As GitHub makes them of headings: small letters, digits, `-` and `_`; one that comes again gets a number. */
function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ''] of withoutFences(text).matchAll(/^#{1,6} +(.*?) *$/gm)) {
    const words = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const anchor = words.replaceAll(/[^\p{L}\p{N}\p{M}_\- ]/gu, '').replaceAll(' ', '-');
    let free = anchor;
    for (let number = 1; anchors.has(free); number += 1) free = `${anchor}-${number}`;
    anchors.add(free);
  }
  return anchors;
}

/** The pages that an index leads to, in its order. */
function pagesListedIn(index: string): string[] {
  const links = linksIn(readFileSync(index, 'utf8')).filter((link) => link.endsWith('.md'));
  return links.map((link) => path.posix.join(path.posix.dirname(index), link));
}

function codeOf(work: () => unknown): unknown {
  try {
    work();
    return undefined;
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error;
  }
}
