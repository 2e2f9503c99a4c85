/** What in a migration breaks the version before it, which still runs beside it, or blocks the traffic for long. */

const RULES: ReadonlyArray<{ what: string; pattern: RegExp }> = [
  { what: 'drops a table', pattern: /\bDROP\s+TABLE\b/i },
  { what: 'drops a column', pattern: /\bDROP\s+COLUMN\b/i },
  { what: 'drops a default', pattern: /\bDROP\s+DEFAULT\b/i },
  { what: 'renames', pattern: /\bALTER\s+TABLE\b[^;]*\bRENAME\b/i },
  { what: 'changes a type', pattern: /\bALTER\s+(?:COLUMN\s+)?\S+\s+(?:SET\s+DATA\s+)?TYPE\b/i },
  { what: 'forbids null', pattern: /\bSET\s+NOT\s+NULL\b/i },
  {
    what: 'adds a column that has to be written',
    pattern: /\bADD\s+COLUMN\b(?![^,;]*\bDEFAULT\b)[^,;]*\bNOT\s+NULL\b/i,
  },
  {
    what: 'adds a constraint and reads the whole table under its lock',
    pattern: /\bADD\s+CONSTRAINT\b(?![^;]*\bNOT\s+VALID\b)/i,
  },
  { what: 'rewrites or reads a table under a lock', pattern: /\b(?:TRUNCATE|CLUSTER|VACUUM\s+FULL)\b/i },
];
const NEW_TABLE = /\bCREATE\s+(?:UNLOGGED\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?"?(\w+)"?/gi;
const NEW_INDEX = /\bCREATE\s+(?:UNIQUE\s+)?INDEX\s+(?!CONCURRENTLY)[^;]*?\bON\s+(?:ONLY\s+)?"?(\w+)"?/gi;
const NEW_CONSTRAINT = /\bALTER\s+TABLE\s+(?:ONLY\s+)?"?(\w+)"?\s+ADD\s+CONSTRAINT\b/i;

/** In the order of the rules; empty when old and new versions can run side by side, before, while and after. */
export function contractSteps(sql: string): string[] {
  const text = sql.replace(/--[^\n]*/g, '');
  const made = new Set([...text.matchAll(NEW_TABLE)].map((match) => match[1]));
  const statements = text.split(';').filter((statement) => {
    const table = NEW_CONSTRAINT.exec(statement)?.[1];
    return table === undefined || !made.has(table);
  });
  const found = RULES.filter(({ pattern }) => statements.some((statement) => pattern.test(statement)));
  const indexed = [...text.matchAll(NEW_INDEX)].map((match) => match[1]).filter((table) => !made.has(table));
  return [
    ...found.map(({ what }) => what),
    ...indexed.map((table) => `makes an index while nobody can write to ${table}`),
  ];
}
