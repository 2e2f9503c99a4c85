/**
 * Where a source file sends SQL, and how each statement can be had without running what sends it.
 *
 * A site is a call of `.query(…)`, or a template of Prisma's `$queryRaw` and `$executeRaw`. Its text is an expression; what
 * that expression takes from the module, and from constants of the function around it, can be evaluated beside the module.
 * A text that depends on an argument cannot: whoever uses these sites has to bring it in another way.
 */
import { parseAst } from 'vitest/node';

export interface Site {
  /** 1-based, of the call. */
  line: number;
  endLine: number;
  /** Expressions that stand in the module's own scope, one for each alternative; undefined: the text depends on an argument. */
  expressions: string[] | undefined;
}

interface Node {
  type: string;
  start: number;
  end: number;
  [field: string]: unknown;
}

const RAW = new Set(['$queryRaw', '$executeRaw']);
/** What the appended code calls Prisma's tag for fragments. */
export const SQL_TAG = '__sql';

/** A literal that begins as a statement does, by its longest part without a value in it. */
export interface StatementLike {
  line: number;
  text: string;
}

const BEGINS = /^\s*(?:--.*\n\s*)*(?:SELECT\s|WITH\s+\w+\s+AS\s|INSERT INTO\s|UPDATE\s+\w|DELETE FROM\s|MERGE INTO\s)/;

export function statementLikes(code: string): StatementLike[] {
  const lineAt = lines(code);
  const found: StatementLike[] = [];
  visit(parse(code), [], (node, above) => {
    // What an error says may begin with such a word too.
    const parts = above.at(-1)?.type === 'NewExpression' ? undefined : partsOf(node);
    if (parts === undefined || !BEGINS.test(parts[0] ?? '')) return;
    const text = parts.reduce((longest, part) => (part.length > longest.length ? part : longest), '');
    found.push({ line: lineAt(node.start), text });
  });
  return found;
}

function partsOf(node: Node): string[] | undefined {
  if (node.type === 'Literal' && typeof node['value'] === 'string') return [node['value']];
  if (node.type !== 'TemplateLiteral') return undefined;
  return (node['quasis'] as Node[]).map((quasi) => (quasi['value'] as { cooked: string }).cooked);
}

export function sitesOf(code: string): Site[] {
  const lineAt = lines(code);
  const sites: Site[] = [];
  visit(parse(code), [], (node, above) => {
    const statement = statementOf(node);
    if (statement === undefined) return;
    sites.push({
      line: lineAt(node.start),
      endLine: lineAt(node.end),
      expressions: alternatives(statement, above, code),
    });
  });
  return sites;
}

function parse(code: string): Node {
  return parseAst(code, { lang: 'ts' }) as unknown as Node; // Read field by field, each with a look at its type.
}

/** The first argument of `.query(…)`, or the whole template. */
function statementOf(node: Node): Node | undefined {
  if (node.type === 'CallExpression') {
    const callee = node['callee'] as Node;
    if (callee.type !== 'MemberExpression' || nameOf(callee['property']) !== 'query') return undefined;
    return (node['arguments'] as Node[])[0];
  }
  if (node.type !== 'TaggedTemplateExpression') return undefined;
  const tag = node['tag'] as Node;
  return tag.type === 'MemberExpression' && RAW.has(nameOf(tag['property']) ?? '') ? node : undefined;
}

function nameOf(node: unknown): string | undefined {
  const { type, name } = node as Node;
  return type === 'Identifier' ? (name as string) : undefined;
}

function alternatives(statement: Node, above: readonly Node[], code: string): string[] | undefined {
  if (statement.type === 'ConditionalExpression') {
    const both = ['consequent', 'alternate'].map((branch) => alternatives(statement[branch] as Node, above, code));
    return both.every((each) => each !== undefined) ? both.flat() : undefined;
  }
  if (statement.type === 'ObjectExpression') {
    for (const property of statement['properties'] as Node[]) {
      if (property.type === 'SpreadElement')
        return alternatives(property['argument'] as Node, above, code)?.map((text) => `(${text}).text`);
      if (nameOf(property['key']) === 'text') return alternatives(property['value'] as Node, above, code);
    }
    return undefined;
  }
  if (statement.type === 'Identifier') {
    const name = statement['name'] as string;
    const found = localConstant(name, above);
    if (found === 'none') return argumentsFor(name, above, code);
    if (found !== undefined) return alternatives(found.init, found.above, code);
  }
  const text = written(statement, above, code);
  return text === undefined ? undefined : [text];
}

/** What a function of the module, which only hands on a parameter, is called with everywhere. */
function argumentsFor(name: string, above: readonly Node[], code: string): string[] | undefined {
  const at = above.findLastIndex(
    (node) => isFunction(node) && (node['params'] as Node[]).some((param) => binds(param, name)),
  );
  const [program, owner, parent] = [above[0], above[at], above[at - 1]];
  if (program === undefined || owner === undefined) return undefined;
  const own = nameOf(owner['id'] ?? {}) ?? (parent?.type === 'VariableDeclarator' ? nameOf(parent['id']) : undefined);
  const position = (owner['params'] as Node[]).findIndex((param) => nameOf(param) === name);
  if (own === undefined || position < 0) return undefined;
  const found: Array<string[] | undefined> = [];
  let other = false;
  visit(program, [], (node, within) => {
    if (nameOf(node) !== own || !isRead(node, within.at(-1))) return;
    const call = within.at(-1);
    if (call?.type === 'FunctionDeclaration' || (call?.type === 'VariableDeclarator' && call['id'] === node)) return;
    const argument =
      call?.type === 'CallExpression' && call['callee'] === node ? (call['arguments'] as Node[])[position] : undefined;
    if (argument === undefined) other = true;
    else found.push(alternatives(argument, within, code));
  });
  if (other || found.length === 0) return undefined;
  return found.every((each) => each !== undefined) ? [...new Set(found.flat())] : undefined;
}

/** The expression with constants of the functions around it put in place; undefined: it takes something else from them. */
function written(expression: Node, above: readonly Node[], code: string): string | undefined {
  const parts: Array<{ start: number; end: number; text: string }> = [];
  let possible = true;
  const template = expression.type === 'TaggedTemplateExpression' ? (expression['quasi'] as Node) : undefined;
  if (template !== undefined) {
    const tag = expression['tag'] as Node;
    parts.push({ start: tag.start, end: template.start, text: SQL_TAG });
  }
  visit(expression, [], (node, within) => {
    const parent = within.at(-1);
    if (node.type !== 'Identifier' || !isRead(node, parent)) return;
    if (parts.some(({ start, end }) => start <= node.start && node.end <= end)) return;
    const name = node['name'] as string;
    if (declaredWithin(name, within)) return;
    const found = localConstant(name, above);
    if (found === undefined) return; // The module's own, or a global.
    const text = found === 'none' ? undefined : written(found.init, found.above, code);
    if (text !== undefined) parts.push({ start: node.start, end: node.end, text: `(${text})` });
    // What is no fragment of SQL in a template of Prisma's is a value, and becomes a parameter.
    else if (template !== undefined) {
      const value = (template['expressions'] as Node[]).find(
        ({ start, end }) => start <= node.start && node.end <= end,
      );
      if (value === undefined) possible = false;
      else parts.push({ start: value.start, end: value.end, text: 'null' });
    } else possible = false;
  });
  if (!possible) return undefined;
  let text = '';
  let at = expression.start;
  for (const part of parts.sort((one, other) => one.start - other.start)) {
    if (part.start < at) continue;
    text += code.slice(at, part.start) + part.text;
    at = part.end;
  }
  return text + code.slice(at, expression.end);
}

type Found = { init: Node; above: readonly Node[] } | 'none' | undefined;

/** What a name means to the functions around: a constant with its value, something else (`none`), nothing (undefined). */
function localConstant(name: string, above: readonly Node[]): Found {
  for (let at = above.length - 1; at >= 0; at -= 1) {
    const scope = above[at] as Node; // Within the list.
    if (scope.type === 'Program') return undefined;
    if (isFunction(scope) && (scope['params'] as Node[]).some((param) => binds(param, name))) return 'none';
    if (scope.type === 'ForOfStatement' && binds(scope['left'], name)) return 'none';
    if (scope.type === 'CatchClause' && scope['param'] !== null && binds(scope['param'], name)) return 'none';
    if (scope.type !== 'BlockStatement') continue;
    for (const statement of scope['body'] as Node[]) {
      if (statement.type === 'FunctionDeclaration' && nameOf(statement['id']) === name) return 'none';
      if (statement.type !== 'VariableDeclaration') continue;
      for (const declared of statement['declarations'] as Node[]) {
        if (!binds(declared['id'], name)) continue;
        const constant = statement['kind'] === 'const' && nameOf(declared['id']) === name && declared['init'] !== null;
        return constant ? { init: declared['init'] as Node, above: above.slice(0, at + 1) } : 'none';
      }
    }
  }
  return undefined;
}

/** A function inside the expression itself has names of its own. */
function declaredWithin(name: string, within: readonly Node[]): boolean {
  return within.some((node) => isFunction(node) && (node['params'] as Node[]).some((param) => binds(param, name)));
}

function isFunction({ type }: Node): boolean {
  return type === 'FunctionDeclaration' || type === 'FunctionExpression' || type === 'ArrowFunctionExpression';
}

function binds(pattern: unknown, name: string): boolean {
  let found = false;
  visit(pattern as Node, [], (node) => {
    if (node.type === 'Identifier' && node['name'] === name) found = true;
  });
  return found;
}

function isRead(node: Node, parent: Node | undefined): boolean {
  if (parent === undefined) return true;
  if (parent.type.startsWith('TS')) return false;
  if (parent.type === 'MemberExpression') return parent['object'] === node || parent['computed'] === true;
  if (parent.type === 'Property') return parent['value'] === node || parent['computed'] === true;
  return true;
}

function visit(node: Node, above: readonly Node[], see: (node: Node, above: readonly Node[]) => void): void {
  see(node, above);
  const below = [...above, node];
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (child !== null && typeof child === 'object' && typeof (child as Node).type === 'string')
        visit(child as Node, below, see);
    }
  }
}

function lines(code: string): (offset: number) => number {
  const starts = [0];
  for (let at = code.indexOf('\n'); at >= 0; at = code.indexOf('\n', at + 1)) starts.push(at + 1);
  return (offset) => starts.findLastIndex((start) => start <= offset) + 1;
}
