import { describe, expect, test } from 'vitest';
import { analyse, entitiesOf, qualityOf, readabilityOf } from '../../../examples/document-analysis/analysis.ts';
import { findDocuments } from '../../../examples/document-analysis/documents.ts';
import { documentWorkflow } from '../../../examples/document-analysis/workflow.ts';
import { shippedCatalogue } from '../../../src/compose/features.ts';
import { normaliseDefinition } from '../../../src/domain/definition/normalise.ts';
import { makePlan } from '../../../src/domain/graph/plan.ts';
import { checks } from '../../support/checks.ts';

const DOCUMENT = `# A title

The cat sat on the mat. It was happy!

\`\`\`js
const sentences = 'not prose. not prose. not prose.';
# not a heading
\`\`\`

## Links

Write to someone@example.org or read [the page](https://example.org/a) of version 1.2.3, \`npm install\`.
`;

describe('the analyses of the example', () => {
  test('quality counts what is outside of the code and names what is missing', () => {
    expect(qualityOf(DOCUMENT)).toMatchObject({ headings: 2, code_blocks: 1, missing: ['sections', '100 words'] });
    expect(qualityOf('')).toEqual({
      score: 0,
      words: 0,
      headings: 0,
      code_blocks: 0,
      links: 0,
      missing: ['title', 'sections', '100 words', 'code', 'links'],
    });
  });

  test('a block of code that never ends hides the rest and nothing before it', () => {
    expect(qualityOf('# One\n~~~\n# Two\n```\n# Three')).toMatchObject({ headings: 1, code_blocks: 1 });
  });

  test('short words in short sentences read more easily than long ones in long sentences', () => {
    const easy = readabilityOf('The cat sat on the mat. It was fun.');
    const hard = readabilityOf(
      'Institutional characterisation necessitates extraordinarily complicated considerations.',
    );
    expect(easy).toMatchObject({ sentences: 2, words: 9, syllables: 9 });
    expect(easy.reading_ease).toBeGreaterThan(hard.reading_ease);
    expect(easy.grade).toBeLessThan(hard.grade);
  });

  test('an empty text has numbers and not NaN, which JSON does not have', () => {
    expect(JSON.parse(JSON.stringify(analyse('empty.md', '')))).toEqual(analyse('empty.md', ''));
  });

  test('entities are found once, in order', () => {
    expect(entitiesOf(`${DOCUMENT}\n${DOCUMENT}`)).toEqual({
      urls: ['https://example.org/a'],
      emails: ['someone@example.org'],
      versions: ['1.2.3'],
      code_words: ['`npm install`'],
    });
  });

  test('a long line of what an address, a tag or a heading is made of takes no long time', () => {
    const begun = performance.now();
    for (const text of ['a@', 'a.', '.', '<', '](', '#', '`', 'a-', '1.', 'https://'])
      analyse('x.md', `${text.repeat(100_000)}x`);
    expect(performance.now() - begun).toBeLessThan(30_000);
  });
});

test('there are at least 200 documents, each found once, the READMEs first', () => {
  const documents = findDocuments('node_modules', 200);
  expect(new Set(documents).size).toBe(200);
  expect(documents[0]).toMatch(/readme\.md$/i);
  expect(() => findDocuments('node_modules/zod', 200)).toThrow(/200 are wanted/);
});

test('the workflow is fetch, then three at the same time, then store, then notify', () => {
  const services = {
    sourceUrl: 'http://127.0.0.1:1',
    analysisUrl: 'http://127.0.0.1:2',
    storeUrl: 'http://127.0.0.1:3',
  };
  const rules = { ...shippedCatalogue(), checks };
  const plan = makePlan(normaliseDefinition(documentWorkflow(services), rules).definition);
  const depths = plan.actions.map(({ action, depth }) => [action.action_id, depth]);
  expect(Object.fromEntries(depths)).toEqual({
    fetch: 0,
    quality: 1,
    readability: 1,
    entities: 1,
    store: 2,
    notify: 3,
  });
});
