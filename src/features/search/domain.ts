/** The words of a search. */

export const MAX_SEARCH_LENGTH = 200;
export const MAX_SEARCH_WORDS = 20;

/** As the search splits texts: letters, marks and digits belong together, everything else is in between. */
export function searchWords(written: string): string[] {
  const words = written.normalize('NFC').match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];
  return [...new Set(words.map((word) => word.toLowerCase()))];
}
