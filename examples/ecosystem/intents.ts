/** From a sentence to what is wanted, by rules: pure. */

export type Intent =
  | 'analyze_document'
  | 'pr_confidence'
  | 'ingest'
  | 'summarize'
  | 'find_document'
  | 'report'
  | 'unknown';
export interface Entity {
  type: 'url' | 'pr_number' | 'repository' | 'ticket' | 'source';
  value: string;
}
export interface Interpretation {
  intent: Intent;
  /** 0 to 1: what the words of the best rule weigh, against all that spoke for any rule. */
  confidence: number;
  entities: Entity[];
}

/** Words, and how much each says for its intent. */
const RULES: ReadonlyArray<{ intent: Exclude<Intent, 'unknown'>; words: Readonly<Record<string, number>> }> = [
  { intent: 'analyze_document', words: { analyse: 3, analyze: 3, quality: 3, readability: 3, document: 1, page: 1 } },
  { intent: 'pr_confidence', words: { confidence: 3, pr: 3, pull: 2, merge: 2, request: 1, requirements: 1 } },
  { intent: 'ingest', words: { ingest: 4, import: 3, sync: 3, collect: 2, from: 0.5 } },
  { intent: 'summarize', words: { summarise: 4, summarize: 4, summary: 4, shorten: 3, tldr: 4 } },
  { intent: 'find_document', words: { find: 3, search: 3, where: 2, show: 1, document: 1 } },
  { intent: 'report', words: { report: 4, overview: 2, statistics: 2, life: 1, ticket: 1 } },
];
const ENTITIES: ReadonlyArray<{ type: Entity['type']; pattern: RegExp }> = [
  { type: 'url', pattern: /\bhttps?:\/\/[^\s<>"')\]]+[^\s<>"')\].,;:!?]/gi },
  { type: 'pr_number', pattern: /(?:\bpr|\bpull request|#)\s*#?(\d{1,9})\b/gi },
  { type: 'repository', pattern: /(?<![\w/:.])([\w.-]{1,100}\/[\w.-]{1,100})(?![\w/])/g },
  { type: 'ticket', pattern: /\b([A-Z][A-Z0-9]{1,9}-\d{1,9})\b/g },
  { type: 'source', pattern: /\b(github|jira|confluence|swagger)\b/gi },
];
/** Words that speak for nothing take something of the confidence in what the others say. */
const DOUBT = 1;

export function interpret(query: string): Interpretation {
  const words = query.toLowerCase().match(/[a-z]+/g) ?? [];
  const scores = RULES.map(({ intent, words: known }) => ({
    intent,
    score: [...new Set(words)].reduce((sum, word) => sum + (Object.hasOwn(known, word) ? (known[word] ?? 0) : 0), 0),
  }));
  const total = scores.reduce((sum, { score }) => sum + score, 0);
  const best = scores.reduce((left, right) => (right.score > left.score ? right : left));
  const entities = findEntities(query);
  if (best.score === 0) return { intent: 'unknown', confidence: 0, entities };
  return { intent: best.intent, confidence: Math.round((100 * best.score) / (total + DOUBT)) / 100, entities };
}

function findEntities(query: string): Entity[] {
  const urls = query.match(ENTITIES[0]?.pattern ?? /(?!)/g) ?? [];
  // What stands in a URL is part of the URL and no repository of its own.
  const withoutUrls = urls.reduce((text, url) => text.replace(url, ' '), query);
  return ENTITIES.flatMap(({ type, pattern }) =>
    [...(type === 'url' ? query : withoutUrls).matchAll(pattern)].map(
      ([match, inner]): Entity => ({ type, value: type === 'source' ? match.toLowerCase() : (inner ?? match) }),
    ),
  );
}
