/**
 * The grammar of templates. A template is a path between double braces: `{{name}}`, `{{fetch.items.0.title}}`,
 * `{{fetch.items[0]["a key"]}}`. Literal braces are a quoted text between braces: `{{'{{'}}`. Nothing is evaluated.
 * One pass from left to right, so a text of any length takes time linear in it.
 */

export type TemplatePart =
  | { kind: 'text'; text: string }
  | {
      kind: 'path';
      segments: readonly string[];
      /** How many segments stand in front without brackets: only those may spell an id with dots. */
      dotted: number;
      /** As written, for messages. */
      source: string;
    };

export type ParsedText = { ok: true; parts: TemplatePart[] } | { ok: false; message: string };

const OPEN = '{{';
const CLOSE = '}}';
const SHOWN_LENGTH = 100;
const SEGMENT = /[\p{L}\p{N}_$@:/-]+/uy;
const INDEX = /\[[0-9]{1,9}\]/y;
const SPACE = /\s*/y;

export function hasTemplate(text: string): boolean {
  return text.includes(OPEN);
}

export function parseText(text: string): ParsedText {
  const parts: TemplatePart[] = [];
  let position = 0;
  for (let open = text.indexOf(OPEN); open !== -1; open = text.indexOf(OPEN, position)) {
    if (open > position) parts.push({ kind: 'text', text: text.slice(position, open) });
    const parsed = parseTemplate(text, open);
    if (!parsed.ok) return parsed;
    parts.push(parsed.part);
    position = parsed.end;
  }
  if (position < text.length) parts.push({ kind: 'text', text: text.slice(position) });
  return { ok: true, parts };
}

export function shorten(text: string): string {
  return text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH)}…` : text;
}

type ParsedTemplate = { ok: true; part: TemplatePart; end: number } | { ok: false; message: string };

function parseTemplate(text: string, open: number): ParsedTemplate {
  const start = skipSpace(text, open + OPEN.length);
  const reject = (what: string): ParsedTemplate => ({ ok: false, message: `${shorten(text.slice(open))}: ${what}` });

  const quoted = quotedAt(text, start);
  if (quoted !== undefined) {
    const close = skipSpace(text, quoted.end);
    if (!text.startsWith(CLOSE, close)) return reject("a quoted text must be followed by '}}'");
    return { ok: true, part: { kind: 'text', text: quoted.text }, end: close + CLOSE.length };
  }

  const segments: string[] = [];
  let dotted = 0;
  let at = start;
  for (;;) {
    const segment = stepAt(text, at, segments.length === 0);
    if (segment === undefined) break;
    if (!segment.bracketed && dotted === segments.length) dotted++;
    segments.push(segment.name);
    at = segment.end;
  }
  const close = skipSpace(text, at);
  if (segments.length > 0 && text.startsWith(CLOSE, close)) {
    const source = text.slice(open, close + CLOSE.length);
    return { ok: true, part: { kind: 'path', segments, dotted, source }, end: close + CLOSE.length };
  }
  if (!text.includes(CLOSE, at)) return reject("has no closing '}}'; literal braces are written {{'{{'}}");
  if (segments.length === 0 && text.startsWith(CLOSE, start)) return reject('is empty');
  return reject(
    "is not a path of names and indices such as {{fetch.items.0}}; expressions belong in 'when' or a transform, literal braces are written {{'{{'}}",
  );
}

/** The next step of a path: `name` or `"name"` at its start, then `.name`, `[0]` or `["name"]`. */
function stepAt(
  text: string,
  at: number,
  first: boolean,
): { name: string; end: number; bracketed: boolean } | undefined {
  if (!first && text[at] === '[') {
    const index = matchAt(INDEX, text, at);
    if (index !== undefined)
      return { name: String(Number(index.slice(1, -1))), end: at + index.length, bracketed: true };
    const quoted = quotedAt(text, at + 1);
    if (quoted === undefined || text[quoted.end] !== ']') return undefined;
    return { name: quoted.text, end: quoted.end + 1, bracketed: true };
  }
  if (!first && text[at] !== '.') return undefined;
  const from = first ? at : at + 1;
  const name = matchAt(SEGMENT, text, from);
  return name === undefined ? undefined : { name, end: from + name.length, bracketed: false };
}

function quotedAt(text: string, at: number): { text: string; end: number } | undefined {
  const quote = text[at];
  if (quote !== "'" && quote !== '"') return undefined;
  const end = text.indexOf(quote, at + 1);
  return end === -1 ? undefined : { text: text.slice(at + 1, end), end: end + 1 };
}

function skipSpace(text: string, at: number): number {
  return at + (matchAt(SPACE, text, at)?.length ?? 0);
}

function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}
