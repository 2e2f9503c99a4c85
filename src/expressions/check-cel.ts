/**
 * Checks an expression without evaluating it: is it CEL, is it small enough, which variables does it name. What it costs to
 * parse is bounded before it is parsed, by one pass over its tokens.
 */
import { parse } from '@bufbuild/cel';
import type { CheckedExpression } from '../domain/texts/checks.ts';
import { scanCel } from './scan-cel.ts';

/** As it is written, blanks included. */
export const MAX_EXPRESSION_CHARACTERS = 2_000;
export const MAX_EXPRESSION_NODES = 1_000;
/** Of the tree that it is, and of its brackets. */
export const MAX_EXPRESSION_DEPTH = 32;

export type ParsedCel = ReturnType<typeof parse>;
type Expr = ParsedCel['expr'];
interface Child {
  node: Expr;
  /** Variables that a macro (`map`, `all`, …) introduces for this subexpression. */
  bound: readonly string[];
}
const NESTED = `the expression is nested deeper than ${MAX_EXPRESSION_DEPTH}`;

/** What is wrong with the expression, in readable words, or undefined. */
export function checkCel(expression: string): string | undefined {
  return readCel(expression).fault;
}

export function readCel(expression: string): CheckedExpression {
  if (expression.length > MAX_EXPRESSION_CHARACTERS) {
    return invalid(`the expression is longer than ${MAX_EXPRESSION_CHARACTERS} characters`);
  }
  const { nesting, balanced } = scanCel(expression);
  if (nesting > MAX_EXPRESSION_DEPTH) return invalid(NESTED);
  if (!balanced) return invalid('not a CEL expression: a bracket is not closed, or was not opened');
  return parseCel(expression);
}

/**
 * Of an expression that may be as long as expressions once were, and that may take long to parse. Where it has no fault it is
 * given parsed.
 */
export function parseCel(expression: string): CheckedExpression & { parsed?: ParsedCel } {
  let parsed: ParsedCel;
  try {
    parsed = parse(scanCel(expression).text);
  } catch (error) {
    // A parser that ran out of stack has no position to name.
    const where = error instanceof RangeError || !(error instanceof Error) ? 'it is nested too deeply' : error.message;
    return invalid(`not a CEL expression: ${where.replace('<input>:', '')}`);
  }
  return { ...walk(parsed.expr), parsed };
}

function walk(root: Expr): CheckedExpression {
  const names = new Set<string>();
  const open: Array<Child & { depth: number }> = [{ node: root, bound: [], depth: 1 }];
  let nodes = 0;
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { node, bound, depth } = next;
    nodes += 1;
    if (nodes > MAX_EXPRESSION_NODES) return invalid(`the expression has more than ${MAX_EXPRESSION_NODES} parts`);
    if (depth > MAX_EXPRESSION_DEPTH) return invalid(NESTED);
    const kind = node.exprKind;
    if (kind.case === 'identExpr') {
      const name = kind.value.name.replace(/^\./, '');
      if (!bound.includes(name)) names.add(name);
    }
    for (const child of childrenOf(node, bound)) open.push({ ...child, depth: depth + 1 });
  }
  return { names: [...names] };
}

function childrenOf({ exprKind }: Expr, bound: readonly string[]): Child[] {
  switch (exprKind.case) {
    case 'selectExpr':
      return present([exprKind.value.operand], bound);
    case 'callExpr':
      return present([exprKind.value.target, ...exprKind.value.args], bound);
    case 'listExpr':
      return present(exprKind.value.elements, bound);
    case 'structExpr':
      return present(
        exprKind.value.entries.flatMap(({ keyKind, value }) => [
          keyKind.case === 'mapKey' ? keyKind.value : undefined,
          value,
        ]),
        bound,
      );
    case 'comprehensionExpr': {
      const { iterRange, accuInit, loopCondition, loopStep, result, iterVar, iterVar2, accuVar } = exprKind.value;
      return [
        ...present([iterRange, accuInit], bound),
        ...present([loopCondition, loopStep], [...bound, iterVar, iterVar2, accuVar]),
        ...present([result], [...bound, accuVar]),
      ];
    }
    case 'constExpr':
    case 'identExpr':
    case undefined:
      return [];
  }
}

function present(nodes: ReadonlyArray<Expr | undefined>, bound: readonly string[]): Child[] {
  return nodes.flatMap((node) => (node === undefined ? [] : [{ node, bound }]));
}

function invalid(fault: string): CheckedExpression {
  return { fault, names: [] };
}
