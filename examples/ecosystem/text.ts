/** Small statistics of texts: pure, so that what the services answer can be computed beside them. */
import { createHash } from 'node:crypto';
import { qualityOf, readabilityOf } from '../document-analysis/analysis.ts';

const SHORT_WORDS = 80;
const LONG_WORDS = 5_000;
const HARD_GRADE = 14;
const MOST_KEYWORDS = 10;
/** Two paragraphs with so many of their words in common say the same. */
const NEAR_DUPLICATE = 0.8;
/** A paragraph with fewer words says too little to be a repetition. */
const PARAGRAPH_WORDS = 8;

const COMMON = new Set(
  `a about after all also an and any are as at be because been before but by can could did do does for from had has have he her
  his how if in into is it its more most must no not of on one or other our out over per she should so some such than that the
  their them then there these they this those to too under up us was we were what when which while who why will with would you
  your`.split(/\s+/),
);

export interface TextAnalysis {
  words: number;
  sentences: number;
  reading_ease: number;
  grade: number;
  /** 0 to 100. */
  quality_score: number;
  missing: string[];
  keywords: string[];
  /** Pairs of paragraphs that say the same, by their place from 0. */
  duplicates: Array<[number, number]>;
  flags: string[];
}

export function analyseText(content: string): TextAnalysis {
  const quality = qualityOf(content);
  const readability = readabilityOf(content);
  const duplicates = duplicateParagraphs(content);
  const flags: Array<[flag: string, raised: boolean]> = [
    ['empty', readability.words === 0],
    ['too_short', readability.words > 0 && readability.words < SHORT_WORDS],
    ['too_long', readability.words > LONG_WORDS],
    ['hard_to_read', readability.words > 0 && readability.grade > HARD_GRADE],
    ['repeats_itself', duplicates.length > 0],
    ['no_title', quality.missing.includes('title')],
  ];
  return {
    words: readability.words,
    sentences: readability.sentences,
    reading_ease: readability.reading_ease,
    grade: readability.grade,
    quality_score: quality.score,
    missing: quality.missing,
    keywords: keywordsOf(content),
    duplicates,
    flags: flags.flatMap(([flag, raised]) => (raised ? [flag] : [])),
  };
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Words that carry meaning, in lower case and without the ending of a plural, so that `retries` meets `retry`. */
export function termsOf(text: string): string[] {
  const words = text.toLowerCase().match(/\p{L}[\p{L}\p{N}_]+/gu) ?? [];
  return words.filter((word) => !COMMON.has(word)).map(stem);
}

/** The most frequent terms; of equally frequent ones the first in the alphabet. */
export function keywordsOf(text: string, most = MOST_KEYWORDS): string[] {
  return [...countsOf(termsOf(text))]
    .sort(([left, many], [right, more]) => more - many || (left < right ? -1 : 1))
    .slice(0, most)
    .map(([term]) => term);
}

/** What the terms of both have in common, of all that either has: 0 to 1. */
export function overlapOf(left: Iterable<string>, right: Iterable<string>): number {
  const one = new Set(left);
  const other = new Set(right);
  if (one.size === 0 && other.size === 0) return 0;
  const common = [...one].filter((term) => other.has(term)).length;
  return common / (one.size + other.size - common);
}

/** The share of the wanted terms that are there: 0 to 1. */
export function coverageOf(wanted: Iterable<string>, there: Iterable<string>): number {
  const needed = new Set(wanted);
  if (needed.size === 0) return 0;
  const found = new Set(there);
  return [...needed].filter((term) => found.has(term)).length / needed.size;
}

/** The sentences that carry most of the frequent terms, in the order in which they stand. */
export function summarise(text: string, sentences: number): string {
  const all = sentencesOf(text);
  const weights = countsOf(termsOf(text));
  const scored = all.map((sentence, place) => {
    const terms = termsOf(sentence);
    const sum = terms.reduce((total, term) => total + (weights.get(term) ?? 0), 0);
    return { sentence, place, score: terms.length === 0 ? 0 : sum / Math.sqrt(terms.length) };
  });
  return scored
    .sort((left, right) => right.score - left.score || left.place - right.place)
    .slice(0, sentences)
    .sort((left, right) => left.place - right.place)
    .map(({ sentence }) => sentence)
    .join(' ');
}

/** Without headings and markup; a line of a list is a sentence. */
export function sentencesOf(text: string): string[] {
  return text
    .split(/\n\s*\n|\n(?=\s*[-*] )/)
    .filter((paragraph) => !/^\s*#{1,6}\s/.test(paragraph))
    .flatMap((paragraph) =>
      paragraph
        .replaceAll(/[`*_>]|^\s*-\s/g, '')
        .replaceAll(/\s+/g, ' ')
        .split(/(?<=[.!?])\s+/),
    )
    .map((sentence) => sentence.trim())
    .filter((sentence) => sentence !== '');
}

export function round(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}

function duplicateParagraphs(content: string): Array<[number, number]> {
  const paragraphs = content.split(/\n\s*\n/).map(termsOf);
  const found: Array<[number, number]> = [];
  for (const [second, terms] of paragraphs.entries()) {
    if (terms.length < PARAGRAPH_WORDS) continue;
    const first = paragraphs.findIndex(
      (other, place) => place < second && other.length >= PARAGRAPH_WORDS && overlapOf(other, terms) >= NEAR_DUPLICATE,
    );
    if (first >= 0) found.push([first, second]);
  }
  return found;
}

function countsOf(terms: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const term of terms) counts.set(term, (counts.get(term) ?? 0) + 1);
  return counts;
}

function stem(word: string): string {
  if (word.length > 4 && word.endsWith('ies')) return `${word.slice(0, -3)}y`;
  if (word.length > 3 && word.endsWith('s') && !word.endsWith('ss')) return word.slice(0, -1);
  return word;
}
