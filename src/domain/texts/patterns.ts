/**
 * Patterns in RE2's syntax. Its engine takes no more time than the size of the pattern's program times the length of the
 * text, so both are bounded.
 */
import { RE2JS } from 're2js';

export const MAX_PATTERN_CHARACTERS = 1_000;
/** Instructions of the compiled program; a counted repetition is written out, so `[ab]{900}` has about 900. */
export const MAX_PATTERN_SIZE = 600;
/** UTF-16 code units, as everywhere. */
export const MAX_MATCHED_CHARACTERS = 4_096;
/** Compiling a pattern costs far more than using it; the same few come again with every run. */
const MAX_COMPILED = 500;
const REPETITION = /\{(\d{1,9})(?:,(\d{0,9}))?\}/g;
const compiled = new Map<string, RE2JS>();
const TOO_LARGE = `takes more than ${MAX_PATTERN_SIZE} steps for each character of a text: write it with fewer or shorter repetitions, or limit the length of the text instead`;

/** What is wrong with a pattern. */
export function patternFault(pattern: string): string | undefined {
  if (pattern.length > MAX_PATTERN_CHARACTERS) return `has more than ${MAX_PATTERN_CHARACTERS} characters`;
  // What is written out in full cannot be smaller than this, and need not be compiled to be known as too large.
  if (repetitions(pattern) > MAX_PATTERN_SIZE) return TOO_LARGE;
  try {
    return compilePattern(pattern).programSize() > MAX_PATTERN_SIZE ? TOO_LARGE : undefined;
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace('error parsing regexp: ', '') : 'it cannot be read';
    return `is not a pattern of RE2's syntax (no look-around, no back-references): ${reason}`;
  }
}

/** Why a text is not tried on any pattern, in words that follow its name. */
export function matchedLengthFault(text: string): string | undefined {
  if (text.length <= MAX_MATCHED_CHARACTERS) return undefined;
  return `has ${text.length} characters; a text that has to match a pattern may have at most ${MAX_MATCHED_CHARACTERS}`;
}

/** Whether the pattern, which has no fault, is found in the text. */
export function matchesPattern(pattern: string, text: string): boolean {
  return text.length <= MAX_MATCHED_CHARACTERS && compilePattern(pattern).test(text);
}

/** Throws for what is not of RE2's syntax. */
export function compilePattern(pattern: string): RE2JS {
  const cached = compiled.get(pattern);
  if (cached !== undefined) return cached;
  const fresh = RE2JS.compile(pattern);
  if (compiled.size >= MAX_COMPILED) compiled.clear();
  compiled.set(pattern, fresh);
  return fresh;
}

function repetitions(pattern: string): number {
  return [...pattern.matchAll(REPETITION)].reduce((sum, [, least = '', most = '']) => sum + Number(most || least), 0);
}
