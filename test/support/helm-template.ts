/**
 * Renders a chart as `helm template` does, as far as ours needs it: `if`, `else`, `range`, `define`, pipelines and the functions
 * below. Whatever else a template has, a field that is not there included, is an error.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse, parseAllDocuments, stringify } from 'yaml';

type Json = Record<string, unknown>;
type Node =
  | { type: 'text'; text: string }
  | { type: 'output'; expression: string }
  | { type: 'if'; expression: string; body: Node[]; otherwise: Node[] }
  | { type: 'range'; expression: string; body: Node[] };
type Defined = Map<string, Node[]>;
interface Scope {
  defined: Defined;
  root: unknown;
  dot: unknown;
}
type Token = { text: string } | { action: string };

/** The documents of a chart, with `values` over its own. */
export function renderChart(folder: string, values: Json = {}): unknown[] {
  const read = (...names: string[]) => readFileSync(path.join(folder, ...names), 'utf8');
  const chart = parse(read('Chart.yaml')) as Json; // Ours.
  const root = {
    Values: mergeValues(parse(read('values.yaml')) as Json, values),
    Chart: { Name: chart['name'], Version: chart['version'], AppVersion: chart['appVersion'] },
  };
  const defined: Defined = new Map();
  const files = readdirSync(path.join(folder, 'templates')).sort();
  const parsed = files.map((name) => ({ name, nodes: parseTemplate(read('templates', name), defined) }));
  return parsed
    .filter(({ name }) => name.endsWith('.yaml'))
    .flatMap(({ name, nodes }) => {
      const text = renderNodes(nodes, { defined, root, dot: root });
      return parseAllDocuments(text).flatMap((document) => {
        if (document.errors.length > 0) throw new Error(`${name}: ${document.errors[0]?.message}\n${text}`);
        const value: unknown = document.toJS();
        return value === null ? [] : [value];
      });
    });
}

function mergeValues(own: Json, given: Json): Json {
  const merged = { ...own };
  for (const [key, value] of Object.entries(given)) {
    if (!Object.hasOwn(own, key)) throw new Error(`the chart has no value ${key}`);
    const there = own[key];
    merged[key] = isObject(there) && isObject(value) ? mergeValues(there, value) : value;
  }
  return merged;
}

function parseTemplate(text: string, defined: Defined): Node[] {
  const tokens = tokensOf(text);
  const nodes = parseNodes(tokens, defined);
  if (tokens.length > 0) throw new Error('there is an end too many');
  return nodes;
}

/** `{{-` and `-}}` take the blanks beside them away. */
function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  let rest = text;
  for (;;) {
    const found = /\{\{(-)?\s*(.*?)\s*(-)?\}\}/s.exec(rest);
    if (found === null) return [...tokens, { text: rest }];
    const [all, before, action = '', after] = found;
    const head = rest.slice(0, found.index);
    tokens.push({ text: before === undefined ? head : head.trimEnd() }, { action });
    rest = rest.slice(found.index + all.length);
    if (after !== undefined) rest = rest.trimStart();
  }
}

/** Up to the `end` or `else` that belongs to whoever called, which is left. */
function parseNodes(tokens: Token[], defined: Defined): Node[] {
  const nodes: Node[] = [];
  for (;;) {
    const [token] = tokens;
    if (token === undefined || ('action' in token && /^(?:end|else)$/.test(token.action))) return nodes;
    tokens.shift();
    if ('text' in token) {
      nodes.push({ type: 'text', text: token.text });
      continue;
    }
    const [, word = '', expression = ''] = /^(if|range|define)\s+(.*)$/s.exec(token.action) ?? [];
    if (word === '') {
      nodes.push({ type: 'output', expression: token.action });
      continue;
    }
    const body = parseNodes(tokens, defined);
    const otherwise = takeIf(tokens, 'else') ? parseNodes(tokens, defined) : [];
    if (!takeIf(tokens, 'end')) throw new Error(`{{ ${token.action} }} has no end`);
    if (word === 'if') nodes.push({ type: 'if', expression, body, otherwise });
    else if (word === 'range') nodes.push({ type: 'range', expression, body });
    else defined.set(JSON.parse(expression) as string, body);
  }
}

function takeIf(tokens: Token[], action: string): boolean {
  const [token] = tokens;
  if (token === undefined || !('action' in token) || token.action !== action) return false;
  tokens.shift();
  return true;
}

function renderNodes(nodes: readonly Node[], scope: Scope): string {
  return nodes.map((node) => renderNode(node, scope)).join('');
}

function renderNode(node: Node, scope: Scope): string {
  if (node.type === 'text') return node.text;
  const value = evaluate(node.expression, scope);
  if (node.type === 'output') return String(value);
  if (node.type === 'if') return renderNodes(isTrue(value) ? node.body : node.otherwise, scope);
  if (!Array.isArray(value)) throw new Error(`range ${node.expression} is no list`);
  return value.map((dot) => renderNodes(node.body, { ...scope, dot })).join('');
}

const FUNCTIONS: Readonly<Record<string, (scope: Scope, ...given: unknown[]) => unknown>> = {
  include: (scope, name, dot) => {
    const body = scope.defined.get(String(name));
    if (body === undefined) throw new Error(`nothing defines ${String(name)}`);
    return renderNodes(body, { ...scope, root: dot, dot });
  },
  default: (_scope, standard, value) => (isTrue(value) ? value : standard),
  quote: (_scope, value) => JSON.stringify(String(value)),
  nindent: (_scope, blanks, text) =>
    `\n${String(text)}`.replaceAll('\n', `\n${' '.repeat(Number(blanks))}`).replace(/^ +/, ''),
  toYaml: (_scope, value) => stringify(value).trimEnd(),
  join: (_scope, by, list) => (list as unknown[]).join(String(by)),
  list: (_scope, ...values) => values,
  eq: (_scope, one, other) => one === other,
  sha256sum: (_scope, text) => createHash('sha256').update(String(text)).digest('hex'),
};

/** A pipeline: the value of each command is the last argument of the next. */
function evaluate(expression: string, scope: Scope): unknown {
  const words = expression.match(/"[^"]*"|[()|]|[^\s()|]+/g) ?? [];
  const value = pipeline(words, scope);
  if (words.length > 0) throw new Error(`${expression} goes on after its end`);
  return value;
}

function pipeline(words: string[], scope: Scope): unknown {
  let value = command(words, scope, []);
  while (words[0] === '|') {
    words.shift();
    value = command(words, scope, [value]);
  }
  return value;
}

function command(words: string[], scope: Scope, piped: unknown[]): unknown {
  const [name = ''] = words;
  if (!/^[a-z]\w*$/i.test(name)) {
    if (piped.length > 0) throw new Error(`${name} is no function`);
    return operand(words, scope);
  }
  const call = FUNCTIONS[name];
  if (call === undefined) throw new Error(`the function ${name} is not known`);
  words.shift();
  const given: unknown[] = [];
  while (words.length > 0 && words[0] !== '|' && words[0] !== ')') given.push(operand(words, scope));
  return call(scope, ...given, ...piped);
}

function operand(words: string[], scope: Scope): unknown {
  const word = words.shift() ?? '';
  if (word === '(') {
    const value = pipeline(words, scope);
    if (words.shift() !== ')') throw new Error('a bracket is not closed');
    return value;
  }
  if (word.startsWith('"')) return JSON.parse(word);
  if (/^\d+$/.test(word)) return Number(word);
  const [, from = '', fields = ''] = /^(\$?)((?:\.\w+)*|\.)$/.exec(word) ?? [];
  if (from === '' && fields === '') throw new Error(`${word} is not understood`);
  return fields
    .split('.')
    .filter((field) => field !== '')
    .reduce<unknown>((value, field) => fieldOf(value, field, word), from === '$' ? scope.root : scope.dot);
}

function fieldOf(value: unknown, field: string, of: string): unknown {
  if (!isObject(value) || !Object.hasOwn(value, field)) throw new Error(`${of}: there is no ${field}`);
  return value[field];
}

function isTrue(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : Boolean(value);
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
