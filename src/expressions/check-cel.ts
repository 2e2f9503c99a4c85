/** Looks at an expression without evaluating it: is it CEL, is it small enough, which variables does it name. */
import { parse } from '@bufbuild/cel';

export const MAX_EXPRESSION_CHARACTERS = 10_000;
export const MAX_EXPRESSION_NODES = 1_000;
export const MAX_EXPRESSION_DEPTH = 32;
const KEPT_EXPRESSIONS = 1_000;

type Expr = ReturnType<typeof parse>['expr'];
interface Child {
  node: Expr;
  /** Variables that a macro (`map`, `all`, …) introduces for this part. */
  bound: readonly string[];
}
interface Look {
  fault: string | undefined;
  names: readonly string[];
}

const kept = new Map<string, Look>();

/** What is wrong with the expression, for people, or undefined. */
export function checkCel(expression: string): string | undefined {
  return look(expression).fault;
}

/** The variables it reads, without those that it makes itself: `a.filter(x, x > params.least)` names `a` and `params`. */
export function namesInCel(expression: string): string[] {
  return [...look(expression).names];
}

function look(expression: string): Look {
  const known = kept.get(expression);
  if (known !== undefined) return known;
  const looked = lookOnce(expression);
  if (kept.size >= KEPT_EXPRESSIONS) kept.clear();
  if (expression.length <= MAX_EXPRESSION_CHARACTERS) kept.set(expression, looked);
  return looked;
}

function lookOnce(expression: string): Look {
  if (expression.length > MAX_EXPRESSION_CHARACTERS) {
    return refused(`the expression is longer than ${MAX_EXPRESSION_CHARACTERS} characters`);
  }
  let root: Expr;
  try {
    root = parse(expression).expr;
  } catch (error) {
    // A parser that ran out of stack has no place to name.
    const where = error instanceof RangeError || !(error instanceof Error) ? 'it is nested too deeply' : error.message;
    return refused(`not a CEL expression: ${where.replace('<input>:', '')}`);
  }
  return walk(root);
}

function walk(root: Expr): Look {
  const names = new Set<string>();
  const open: Array<Child & { depth: number }> = [{ node: root, bound: [], depth: 1 }];
  let nodes = 0;
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { node, bound, depth } = next;
    nodes += 1;
    if (nodes > MAX_EXPRESSION_NODES) return refused(`the expression has more than ${MAX_EXPRESSION_NODES} parts`);
    if (depth > MAX_EXPRESSION_DEPTH) return refused(`the expression is nested deeper than ${MAX_EXPRESSION_DEPTH}`);
    const kind = node.exprKind;
    if (kind.case === 'identExpr') {
      const name = kind.value.name.replace(/^\./, '');
      if (!bound.includes(name)) names.add(name);
    }
    for (const child of childrenOf(node, bound)) open.push({ ...child, depth: depth + 1 });
  }
  return { fault: undefined, names: [...names] };
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

function refused(fault: string): Look {
  return { fault, names: [] };
}
