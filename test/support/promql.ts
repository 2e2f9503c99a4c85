/** Which metrics and labels an expression of PromQL names. It knows what our own expressions use, and no more. */
export interface PromqlUse {
  metric: string;
  /** That it is asked for. */
  labels: string[];
}

const KEYWORDS = new Set(['and', 'or', 'unless', 'bool', 'offset', 'e', 'Inf', 'NaN']);
const GROUPING = /\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)/g;

export function readPromql(expression: string): { uses: PromqlUse[]; grouping: string[] } {
  const text = expression.replaceAll(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g, '""').replaceAll(/\[[^\]]*\]/g, '');
  const grouping = [...text.matchAll(GROUPING)].flatMap(([, names = '']) => names.match(/\w+/g) ?? []);
  const uses: PromqlUse[] = [];
  const rest = text
    .replaceAll(GROUPING, ' ')
    .replaceAll(/([a-zA-Z_:][\w:]*)\{([^}]*)\}/g, (_all, metric: string, matchers: string) => {
      uses.push({ metric, labels: [...matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']) => label) });
      return ' ';
    });
  for (const [name] of rest.matchAll(/(?<![\w.:])[a-zA-Z_:][\w:]*(?!\w|\s*\()/g)) {
    if (!KEYWORDS.has(name)) uses.push({ metric: name, labels: [] });
  }
  return { uses, grouping };
}
