/**
 * Reads the tokens of a CEL expression in one pass, so that nothing but this is ever done with a text of unknown cost. The
 * parser takes time beyond linear for blanks and for open brackets; it gets the text without the first and, when a definition
 * is checked, nothing that is nested too deeply.
 */
export interface Scan {
  /** The same expression: each run of blanks outside of texts is one blank. */
  text: string;
  /**
   * What may be a variable: every identifier that is not a field of something. Functions and the variables of macros are
   * among them, so this names more than the expression reads, and never less.
   */
  names: ReadonlySet<string>;
  /** The deepest that brackets of any kind are open at once. */
  nesting: number;
  /** Every bracket is closed, by its own kind. */
  balanced: boolean;
}

/** The parser checks for no end of a word: to it `truein`, and `in` after an operand, are the operator and what comes next. */
const TEXT_PREFIX = /^(?:(?:true|false|null)?in)?(?:[rR]|[bB][rR]?)$/;
const OPERATOR_AND_NAME = /^(?:true|false|null)?in(.+)$/;
const RAW = /[rR]/;
/** After one of these a point takes a field; anywhere else it stands before a name without a container. */
const ENDS_OPERAND = new Set([')', ']', '}', '`', '"', 'a', '0']);
const CLOSED_BY: ReadonlyMap<string, string> = new Map([
  ['(', ')'],
  ['[', ']'],
  ['{', '}'],
]);
const CLOSING = new Set(CLOSED_BY.values());

export function scanCel(expression: string): Scan {
  const output: string[] = [];
  const names = new Set<string>();
  const open: string[] = [];
  let balanced = true;
  let nesting = 0;
  /** The kind of the token before: its character, `a` for a word, `0` for a number, `"` for a text. */
  let last = '';
  let isField = false;
  /** What stands for the blanks before the next token. */
  let blank = '';
  let at = 0;

  const emit = (end: number, kind: string) => {
    output.push(blank, expression.slice(at, end));
    blank = '';
    at = end;
    isField = kind === '.' && ENDS_OPERAND.has(last);
    last = kind;
  };

  while (at < expression.length) {
    const character = expression.charAt(at);
    if (isBlank(character)) {
      // The one that ends a comment stays what it is.
      if (blank === '') blank = character;
      at += 1;
    } else if (character === '/' && expression.charAt(at + 1) === '/') {
      output.push(blank, expression.slice(at, endOfLine(expression, at)));
      blank = '';
      at = endOfLine(expression, at);
    } else if (character === '"' || character === "'") {
      emit(endOfText(expression, at, character, false), '"');
    } else if (character === '`') {
      emit(endOfQuotedField(expression, at), '`');
    } else if (isLetter(character)) {
      const end = endOfWord(expression, at);
      const word = expression.slice(at, end);
      const quote = expression.charAt(end);
      if (TEXT_PREFIX.test(word) && (quote === '"' || quote === "'")) {
        emit(endOfText(expression, end, quote, RAW.test(word)), '"');
      } else {
        if (!isField) names.add(word);
        const behindIn = OPERATOR_AND_NAME.exec(word)?.[1];
        if (behindIn !== undefined) names.add(behindIn);
        emit(end, 'a');
      }
    } else if (isDigit(character)) {
      emit(at + 1, '0');
    } else {
      const closedBy = CLOSED_BY.get(character);
      if (closedBy !== undefined) nesting = Math.max(nesting, open.push(closedBy));
      else if (CLOSING.has(character) && open.pop() !== character) balanced = false;
      emit(at + 1, character);
    }
  }
  if (blank !== '') output.push(blank);
  return { text: output.join(''), names, nesting, balanced: balanced && open.length === 0 };
}

/** The end of a text whose quotes begin at `at`; of one that is left open the end of what it could be. */
function endOfText(expression: string, at: number, quote: string, raw: boolean): number {
  const isLong = expression.startsWith(quote.repeat(3), at);
  const close = isLong ? quote.repeat(3) : quote;
  let end = at + close.length;
  while (end < expression.length) {
    if (expression.startsWith(close, end)) return end + close.length;
    const character = expression.charAt(end);
    if (!isLong && (character === '\n' || character === '\r')) return end;
    end += character === '\\' && !raw ? 2 : 1;
  }
  return expression.length;
}

function endOfQuotedField(expression: string, at: number): number {
  let end = at + 1;
  while (end < expression.length && expression.charAt(end) !== '`' && expression.charAt(end) !== '\n') end += 1;
  return Math.min(expression.length, end + 1);
}

function endOfLine(expression: string, at: number): number {
  let end = at;
  while (end < expression.length && expression.charAt(end) !== '\n' && expression.charAt(end) !== '\r') end += 1;
  return end;
}

function endOfWord(expression: string, at: number): number {
  let end = at + 1;
  while (end < expression.length && (isLetter(expression.charAt(end)) || isDigit(expression.charAt(end)))) end += 1;
  return end;
}

function isBlank(character: string): boolean {
  return character === ' ' || character === '\t' || character === '\n' || character === '\r' || character === '\f';
}

function isLetter(character: string): boolean {
  return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') || character === '_';
}

function isDigit(character: string): boolean {
  return character >= '0' && character <= '9';
}
