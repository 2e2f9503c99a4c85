import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { operationsOf } from '../../../src/compose/features.ts';
import { WITHOUT_EFFECT } from '../../../src/config/older-names.ts';
import { VARIABLES } from '../../../src/config/variables.ts';
import { apiDocumentYaml } from '../../../src/http/server/docs.ts';

const API_OPERATIONS = await operationsOf();

const MAX_SUMMARY_LENGTH = 70;

/** Every verb that a summary may begin with; add one when none of these says what the operation does. */
const VERBS = new Set(
  (
    'Approve Cancel Check Clear Compare Complete Count Create Decide Delete Discard End Erase Execute Explain Export Extend Fail ' +
    'Fetch Get Ignore Ingest List Log Notify Pause Poll Promote Receive Register Reject Remove Replay Request Rerun Resolve ' +
    'Resume Retry Revoke Rotate Save Search Send Set Skip Start Stream Summarize Trigger Update'
  ).split(' '),
);

/** Operations with one handler and two paths, which have one summary. */
const ALIASES = [
  ['explainExecution', 'explainWorkflowExecution'],
  ['getExecutionLogs', 'getWorkflowExecutionLogs'],
  ['getHealthz', 'getLivez'],
  ['getReady', 'getReadyz'],
];

/** Words that nobody searches for, and the words of the field. */
const DIALECT: ReadonlyArray<[RegExp, string]> = [
  [/\b(?:told|tells?|telling)\b/i, 'notify, report, show'],
  [/\bdoors?\b/i, 'API, endpoint'],
  [/\bwalls?\b/i, 'row-level security, tenant isolation'],
  [/\b(?:begins?|began|begun|beginning|anew)\b/i, 'start'],
  [/\bby hand\b/i, 'manually'],
  [/\bsweep(?:s|er|ing)?\b/i, 'reconcile'],
  [/\bnudge[sd]?\b/i, 'wake'],
  [/\b(?:put off|lets? go|letting go)\b/i, 'defer, release, discard'],
  [/\b(?:deaf|hears?|heard|hearing|beyond help)\b/i, 'unresponsive, responsive, unrecoverable'],
  [/\b(?:patience|silence)\b/i, 'timeout, no response'],
  [/\bmend(?:s|ed|ing)?\b/i, 'repair, fix'],
  [/\brefus(?:e|es|ed|ing|al|als)\b/i, 'reject, deny'],
  [/\b(?:hold back|held|keeps? clean)\b/i, 'paused, throttled, retained'],
  [/\b(?:kept|keepers?)\b/i, 'stored, cached, retained'],
  [/\bundo(?:es|ing|ne)?\b/i, 'compensate'],
  [/\bow(?:ed|es)\b/i, 'pending'],
  [/\b(?:withhold|withheld|the one way out)\b/i, 'outbound policy'],
  [/\b(?:twins?|wrecks?|leftovers?)\b/i, 'duplicate, zombie, stale'],
  [/\b(?:looks?|looked|looking) (?:at|again|for)\b/i, 'check, poll, examine'],
  [/\b(?:asked for|asks again|who asks|whoever asks)\b/i, 'requested, caller'],
  [/\b(?:goes|go|gone|going) on\b/i, 'continue, resume'],
  [/\bfor good\b/i, 'permanently'],
  [/\b(?:under way|in turn|take turns)\b/i, 'running, live, fair share'],
];

interface Described {
  at: string;
  text: string;
}

const document = parse(apiDocumentYaml(API_OPERATIONS, '0.0.0')) as Record<string, unknown>;
const summaries = API_OPERATIONS.map(({ id, summary }) => ({ id, summary }));

/** Every summary and description of the document; examples are data. */
function textsOf(node: unknown, at = 'openapi'): Described[] {
  if (Array.isArray(node)) return node.flatMap((item, index) => textsOf(item, `${at}/${index}`));
  if (typeof node !== 'object' || node === null) return [];
  return Object.entries(node).flatMap(([key, value]) => {
    const below = `${at}/${key}`;
    if (['example', 'examples', 'default', 'enum', 'const'].includes(key)) return [];
    if ((key === 'summary' || key === 'description') && typeof value === 'string') return [{ at: below, text: value }];
    return textsOf(value, below);
  });
}

/** What stands in backticks is a public name or a value (`refused` of the audit, `book~undo`), which clients rely on. */
function faultsOf({ at, text }: Described): string[] {
  const prose = text.replaceAll(/`[^`]*`/g, '');
  return DIALECT.flatMap(([word, better]) => {
    const found = word.exec(prose)?.[0];
    return found === undefined ? [] : [`${at}: '${found}' in '${text}': say ${better}`];
  });
}

test('the summary of every operation is an imperative of at most 70 characters without a full stop', () => {
  const wrong = summaries.filter(
    ({ summary }) =>
      !VERBS.has(summary.split(' ')[0] ?? '') || summary.length > MAX_SUMMARY_LENGTH || /[.!?]$/.test(summary),
  );
  expect(wrong).toEqual([]);
  expect(summaries.length).toBeGreaterThan(150);
  const used = new Set(summaries.map(({ summary }) => summary.split(' ')[0]));
  expect([...VERBS].filter((verb) => !used.has(verb))).toEqual([]);
});

test('a summary names one operation, or the aliases of one', () => {
  const named = new Map<string, string[]>();
  for (const { id, summary } of summaries) named.set(summary, [...(named.get(summary) ?? []), id]);
  const shared = [...named.values()].filter((ids) => ids.length > 1).map((ids) => ids.sort());
  expect(shared.sort()).toEqual(ALIASES);
});

test('the OpenAPI document is written in the words of the field', () => {
  const texts = textsOf(document);
  expect(texts.length).toBeGreaterThan(1_000);
  expect(texts.flatMap(faultsOf)).toEqual([]);
});

test('the settings are described in the words of the field', () => {
  const settings = Object.entries(VARIABLES).map(([at, { description }]) => ({ at, text: description }));
  const older = Object.entries(WITHOUT_EFFECT).map(([at, text]) => ({ at, text }));
  expect([...settings, ...older].flatMap(faultsOf)).toEqual([]);
});

test('a word of the dialect is found in a text, and a public name in backticks is none', () => {
  expect(faultsOf({ at: 'x', text: 'Undone by hand, and told at the door' })).toHaveLength(4);
  expect(faultsOf({ at: 'x', text: '`refused`, `undo` and `DEAF_SECONDS`: indoor, wallet, recommend' })).toEqual([]);
});
