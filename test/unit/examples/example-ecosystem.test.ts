import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { confidenceOf } from '../../../examples/ecosystem/confidence.ts';
import { fateOf, fault } from '../../../examples/ecosystem/faults.ts';
import { interpret } from '../../../examples/ecosystem/intents.ts';
import { decidePolicy, findSensitive, redact } from '../../../examples/ecosystem/sensitive.ts';
import { readSettings } from '../../../examples/ecosystem/settings.ts';
import {
  analyseText,
  coverageOf,
  keywordsOf,
  overlapOf,
  sentencesOf,
  summarise,
  termsOf,
} from '../../../examples/ecosystem/text.ts';

describe('the statistics of texts', () => {
  test('terms leave out what every text has, and a plural meets its singular', () => {
    expect(termsOf('The retries of a refund, and all refunds in it')).toEqual(['retry', 'refund', 'refund']);
  });

  test('keywords come by how often they are there, then by the alphabet', () => {
    expect(keywordsOf('beta alpha gamma alpha beta alpha')).toEqual(['alpha', 'beta', 'gamma']);
    expect(keywordsOf('beta alpha gamma alpha beta alpha', 1)).toEqual(['alpha']);
  });

  test('overlap is symmetric, 1 of a text with itself and 0 of two that share nothing', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), fc.array(fc.string()), (left, right) => {
        expect(overlapOf(left, right)).toBe(overlapOf(right, left));
        expect(overlapOf(left, left)).toBe(left.length === 0 ? 0 : 1);
      }),
    );
    expect(overlapOf(['a'], ['b'])).toBe(0);
    expect(overlapOf(['a', 'b'], ['b', 'c'])).toBeCloseTo(1 / 3);
  });

  test('coverage counts what was wanted and not what there is besides', () => {
    expect(coverageOf(['a', 'b'], ['b', 'c', 'd'])).toBe(0.5);
    expect(coverageOf([], ['a'])).toBe(0);
  });

  test('a summary has sentences of the text, in their order, and as many as it may', () => {
    const text =
      'Refunds fail sometimes. The weather is fine.\n\n# Heading\n\nA failed refund is retried. Failed refunds cost money.';
    expect(sentencesOf(text)).toEqual([
      'Refunds fail sometimes.',
      'The weather is fine.',
      'A failed refund is retried.',
      'Failed refunds cost money.',
    ]);
    expect(summarise(text, 2)).toBe('A failed refund is retried. Failed refunds cost money.');
    expect(summarise(text, 9)).toBe(sentencesOf(text).join(' '));
    expect(summarise('', 3)).toBe('');
  });

  test('flags say what is wrong with a text', () => {
    const paragraph = 'The service desk opens at nine on Monday, closes at noon, and answers customers by telephone.';
    expect(analyseText('').flags).toEqual(['empty', 'no_title']);
    expect(analyseText(paragraph).flags).toEqual(['too_short', 'no_title']);
    expect(analyseText(`# Hours\n\n${paragraph}\n\n${paragraph}`)).toMatchObject({
      flags: ['too_short', 'repeats_itself'],
      duplicates: [[1, 2]],
    });
  });
});

describe('the confidence in a pull request', () => {
  const pull = {
    title: 'Retry refunds',
    description: 'A failed refund is retried.',
    files: [
      { path: 'src/refund.ts', additions: 60, deletions: 0 },
      { path: 'test/refund.test.ts', additions: 40, deletions: 0 },
    ],
    checks: [{ name: 'build', passed: true }],
    approvals: 1,
  };

  test('is whole when everything is there', () => {
    expect(confidenceOf(pull, ['Failed refunds are retried'])).toEqual({
      confidence: 1,
      level: 'high',
      factors: { requirements: 1, tests: 1, checks: 1, size: 1, review: 1 },
      missing_requirements: [],
      recommendation: 'Merge it',
    });
  });

  test('names the requirements that the pull request does not speak of', () => {
    expect(confidenceOf(pull, ['Failed refunds are retried', 'Customers get a mail'])).toMatchObject({
      confidence: 0.8,
      factors: { requirements: 0.5 },
      missing_requirements: ['Customers get a mail'],
    });
  });

  test('is nothing where nothing is known, and sinks with the size', () => {
    expect(confidenceOf({})).toMatchObject({ confidence: 0, level: 'low', recommendation: 'Send it back' });
    const sized = (additions: number) =>
      confidenceOf({ files: [{ path: 'a.ts', additions, deletions: 0 }] }).factors.size;
    expect([sized(100), sized(1_100), sized(2_100), sized(9_000)]).toEqual([1, 0.5, 0, 0]);
  });
});

describe('what is sensitive', () => {
  test.each([
    ['key: sk-abcdefghijklmnop1234', 'api_key', 'critical'],
    ['password = "hunter22"', 'password', 'critical'],
    ['-----BEGIN RSA PRIVATE KEY-----', 'private_key', 'critical'],
    ['paid with 4111 1111 1111 1111', 'card_number', 'high'],
    ['to DE89 3704 0044 0532 0130 00', 'iban', 'high'],
    ['write to ada@example.com', 'email', 'low'],
    ['call +44 20 7946 0958', 'phone', 'low'],
  ] as const)('%s is found, and blotted out', (text, kind, severity) => {
    const findings = findSensitive(text);
    expect(findings.map((found) => found.kind)).toEqual([kind]);
    expect(decidePolicy(findings)).toMatchObject({ sensitive: true, severity });
    expect(redact(text)).toContain(`[${kind}]`);
    expect(findSensitive(redact(text))).toEqual([]);
  });

  test('numbers that are no card and no account are let alone', () => {
    expect(findSensitive('order 4111 1111 1111 1112, DE00 3704 0044 0532 0130 00')).toEqual([]);
    expect(decidePolicy([])).toMatchObject({ sensitive: false, severity: 'none' });
  });

  test('a keyword of the caller is a secret, whatever characters it has', () => {
    expect(findSensitive('Project C++ (new)', ['c++ (NEW)'])).toEqual([{ kind: 'keyword', at: 8, hint: 'c++ ****' }]);
    expect(redact('Project C++ (new)', ['c++ (NEW)'])).toBe('Project [keyword]');
  });

  test('a secret stays with the local model, personal data goes to trusted ones at most', () => {
    const allowed = (text: string) => decidePolicy(findSensitive(text)).allowed_models;
    expect(allowed('token: 12345678')).toEqual(['local-extractive']);
    expect(allowed('ada@example.com')).toEqual(['local-extractive', 'trusted-cloud']);
    expect(allowed('nothing')).toEqual(['public-cloud', 'trusted-cloud', 'local-extractive']);
  });
});

describe('the interpreter', () => {
  test.each([
    ['How confident are we in PR 42 of octo/shop? Confidence please', 'pr_confidence'],
    ['Analyze the quality of https://example.com/doc.pdf', 'analyze_document'],
    ['Ingest everything from Jira', 'ingest'],
    ['Give me a summary of SHOP-7', 'summarize'],
    ['Blue is a colour', 'unknown'],
  ])('%s', (query, intent) => {
    expect(interpret(query)).toMatchObject({ intent });
  });

  test('finds what is spoken of, and takes no part of a URL for a repository', () => {
    expect(interpret('Analyze https://example.com/a/b, PR #42 of octo/shop for SHOP-7 in Jira.').entities).toEqual([
      { type: 'url', value: 'https://example.com/a/b' },
      { type: 'pr_number', value: '42' },
      { type: 'repository', value: 'octo/shop' },
      { type: 'ticket', value: 'SHOP-7' },
      { type: 'source', value: 'jira' },
    ]);
  });

  test('is less sure when words speak for several intents', () => {
    expect(interpret('summary').confidence).toBeGreaterThan(interpret('summary report').confidence);
    expect(interpret('Blue is a colour').confidence).toBe(0);
  });
});

describe('the faults on purpose', () => {
  const fates = (given: object, calls: number) =>
    Array.from({ length: calls }, (_, number) => fateOf(fault.parse(given), number, '/analyze').does);

  test('of every n calls the first one fails', () => {
    expect(fates({ kind: 'fail', every: 3 }, 7)).toEqual([
      'fail',
      'answer',
      'answer',
      'fail',
      'answer',
      'answer',
      'fail',
    ]);
    expect(fates({ kind: 'fail', every: 1 }, 2)).toEqual(['fail', 'fail']);
  });

  test('a share of the calls fails, the same ones for the same seed, and about as many as it says', () => {
    const half = fates({ kind: 'fail', share: 0.5, seed: 7 }, 2_000);
    expect(fates({ kind: 'fail', share: 0.5, seed: 7 }, 2_000)).toEqual(half);
    expect(fates({ kind: 'fail', share: 0.5, seed: 8 }, 2_000)).not.toEqual(half);
    expect(Math.abs(half.filter((fate) => fate === 'fail').length - 1_000)).toBeLessThan(100);
    expect(new Set(fates({ kind: 'fail', share: 1 }, 50))).toEqual(new Set(['fail']));
  });

  test('a drifted service no longer knows one path', () => {
    const drifted = fault.parse({ kind: 'drift', without: '/analyze' });
    expect(fateOf(drifted, 0, '/analyze')).toEqual({ does: 'not_know' });
    expect(fateOf(drifted, 0, '/pr_confidence')).toEqual({ does: 'answer' });
  });

  test.each([{ kind: 'fail' }, { kind: 'fail', every: 2, share: 0.5 }, { kind: 'slow' }, { kind: 'explode' }])(
    '%o is refused',
    (given) => {
      expect(fault.safeParse(given).success).toBe(false);
    },
  );
});

describe('the settings of the stage', () => {
  test('the older ports on loopback, unless something else is said', () => {
    expect(readSettings({}, [])).toMatchObject({
      target: { url: 'http://localhost:8000' },
      host: '127.0.0.1',
      ports: 'older',
      controlPort: 5199,
      advertise: undefined,
      withOrchestrator: false,
    });
    const other = readSettings(
      { ECOSYSTEM_ADVERTISE: 'http://{name}:{port}', ECOSYSTEM_FAULTS: '{"doc_store": {"kind": "stopped"}}' },
      ['--free-ports'],
    );
    expect(other.ports).toBe('free');
    expect(other.advertise?.('doc_store', 5087)).toBe('http://doc-store:5087');
    expect([...other.faults]).toEqual([['doc_store', { kind: 'stopped' }]]);
  });

  test('what cannot be meant is refused with its name', () => {
    expect(() => readSettings({}, ['--verbose'])).toThrow('--verbose is no option');
    expect(() => readSettings({ ECOSYSTEM_FAULTS: '{' }, [])).toThrow('ECOSYSTEM_FAULTS is not JSON');
    expect(() => readSettings({ ECOSYSTEM_FAULTS: '{"a": {"kind": "b"}}' }, [])).toThrow('ECOSYSTEM_FAULTS');
    expect(() => readSettings({ ECOSYSTEM_CONTROL_PORT: 'x' }, [])).toThrow('ECOSYSTEM_CONTROL_PORT');
  });
});
