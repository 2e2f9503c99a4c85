/**
 * What failures have in common. Two failures are of one group when they are of the same action and have the same code and
 * the same message once everything is taken out of it that differs from one time to the next. What says where or how it
 * failed stays: the host of a URL, the status that a service answered.
 */

/** More of a message is not read: a message may be 16 kB, and its start says what it is about. */
const MAX_READ = 2_000;
const MAX_TEMPLATE = 500;
const MAX_SEGMENTS = 12;

/**
 * One pass, the first that fits wins, and every alternative takes a bounded run of characters or reads each once: a
 * hostile message costs its length.
 */
const VARIABLE = new RegExp(
  [
    String.raw`(?<quoted>(?<![\p{L}\p{N}])(?:"[^"\n]{0,300}"|'[^'\n]{0,300}'(?!\p{L})|` +
      '`[^`\\n]{0,300}`' +
      ')|“[^”\\n]{0,300}”)',
    String.raw`(?<url>\b[a-z][a-z0-9+.-]{0,20}:\/\/[^\s"'<>)\]}]{1,1000})`,
    String.raw`(?<status>\b(?:answered|status|status code|code|HTTP(?:\/\d(?:\.\d)?)?)[ :=]{1,3}[1-5]\d\d(?!\d))`,
    '(?<uuid>(?<![0-9a-z])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![0-9a-z]))',
    String.raw`(?<time>\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?(?!\d)|\b\d{1,2}:\d\d:\d\d(?:[.,]\d{1,9})?(?!\d))`,
    String.raw`(?<ip>(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?(?![\d.]))`,
    String.raw`(?<word>(?<![\p{L}\p{N}_])[A-Za-z0-9_]{8,200}(?![\p{L}\p{N}_]))`,
    String.raw`(?<number>\d+(?:[.,]\d+)*)`,
  ].join('|'),
  'giu',
);

interface Found {
  quoted?: string;
  url?: string;
  status?: string;
  uuid?: string;
  time?: string;
  ip?: string;
  word?: string;
  number?: string;
}

/** The message without what differs from one time to the next. Normal already: it stays as it is. */
export function normaliseMessage(message: string): string {
  const excerpt = message.slice(0, MAX_READ).replace(/\s+/g, ' ').trim();
  return excerpt
    .replace(VARIABLE, (text: string, ...rest: unknown[]) => stand(text, rest.at(-1) as Found)) // The groups come last.
    .slice(0, MAX_TEMPLATE)
    .trimEnd();
}

function stand(text: string, found: Found): string {
  if (found.quoted !== undefined) return `'${/^.[a-z]+:\/\//i.test(text) ? urlOf(text.slice(1, -1)) : '*'}'`;
  if (found.url !== undefined) return urlOf(text);
  if (found.status !== undefined) return text;
  if (found.uuid !== undefined) return '<id>';
  if (found.time !== undefined) return '<time>';
  if (found.ip !== undefined) return '<ip>';
  if (found.word !== undefined) return wordOf(text);
  return '<n>';
}

/** Scheme, host and port stay, and the words of the path. */
function urlOf(url: string): string {
  const end = url.search(/[?#\s]/);
  const bare = (end === -1 ? url : url.slice(0, end)).replace(/[.,;:!]+$/, '');
  const at = bare.indexOf('://') + 3;
  const [authority = '', ...segments] = bare.slice(at).split('/');
  const host = authority.slice(authority.lastIndexOf('@') + 1);
  const path = segments.slice(0, MAX_SEGMENTS).map((segment) => (isVariable(segment) ? '*' : segment));
  return `${bare.slice(0, at)}${host}`.toLowerCase() + path.map((segment) => `/${segment}`).join('');
}

/** `v2` and `oauth2` name something; `4711`, `order-17` and what is long and mixed does not. */
function isVariable(segment: string): boolean {
  return segment.length > 40 || (/\d/.test(segment) && !/^[a-z]{1,10}\d$/i.test(segment));
}

/** Hashes, tokens and ids in one word: long, and digits among letters. A shorter one only loses its digits. */
function wordOf(word: string): string {
  const digits = word.match(/\d/g)?.length ?? 0;
  if (digits === 0) return word;
  if (digits === word.length) return '<n>';
  if (/^[0-9a-f]+$/i.test(word) || (word.length >= 16 && digits >= 3)) return '<id>';
  return word.replace(/\d+/g, '<n>');
}

export interface FailureKind {
  actionType: string;
  /** Null: a task of its own. */
  workflowId: string | null;
  /** An item or iteration fails as its parent task does. */
  actionId: string;
  code: string;
  /** As `normaliseMessage` has it. */
  template: string;
}

/** What the fingerprint is the digest of. */
export function fingerprintText({ actionType, workflowId, actionId, code, template }: FailureKind): string {
  return JSON.stringify([actionType, workflowId, actionId, code, template]);
}
