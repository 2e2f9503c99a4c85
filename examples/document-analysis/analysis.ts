/** The analyses themselves: pure, so that they can be done with and without the engine and compared. */
import { createHash } from 'node:crypto';

export interface Quality {
  /** 0 to 100. */
  score: number;
  words: number;
  headings: number;
  code_blocks: number;
  links: number;
  missing: string[];
}
export interface Readability {
  sentences: number;
  words: number;
  syllables: number;
  /** Flesch reading ease: about 0 (hard) to 100 (easy). */
  reading_ease: number;
  /** Flesch-Kincaid: years of school. */
  grade: number;
}
export interface Entities {
  urls: string[];
  emails: string[];
  versions: string[];
  code_words: string[];
}
export interface Analysis {
  document: string;
  sha256: string;
  quality: Quality;
  readability: Readability;
  entities: Entities;
}

const FENCE = /^ {0,3}(```|~~~)/;
const MOST_ENTITIES = 50;

/** All of it, without the engine. */
export function analyse(document: string, content: string): Analysis {
  return {
    document,
    sha256: sha256(content),
    quality: qualityOf(content),
    readability: readabilityOf(content),
    entities: entitiesOf(content),
  };
}

export function sha256(content: string): string {
  return createHash('sha256').update(content).digest('hex');
}

export function qualityOf(content: string): Quality {
  const { prose, codeBlocks } = splitCode(content);
  const headings = prose.filter((line) => /^ {0,3}#{1,6}\s/.test(line)).length;
  const underlined = prose.filter((line) => /^(=+|-{3,})\s*$/.test(line)).length;
  const links = matches(content, /\]\([^)\s]+/g).length + matches(content, /https?:\/\/[^\s)>\]]+/g).length;
  const words = wordsIn(plainText(content)).length;
  const checks: Array<[name: string, points: number, ok: boolean]> = [
    ['title', 25, headings + underlined > 0],
    ['sections', 20, headings + underlined >= 3],
    ['100 words', 25, words >= 100],
    ['code', 15, codeBlocks > 0],
    ['links', 15, links > 0],
  ];
  return {
    score: checks.reduce((sum, [, points, ok]) => sum + (ok ? points : 0), 0),
    words,
    headings: headings + underlined,
    code_blocks: codeBlocks,
    links,
    missing: checks.flatMap(([name, , ok]) => (ok ? [] : [name])),
  };
}

export function readabilityOf(content: string): Readability {
  const text = plainText(content);
  const words = wordsIn(text);
  const sentences = Math.max(1, matches(text, /[.!?](?=\s|$)/g).length);
  const syllables = words.reduce((sum, word) => sum + syllablesOf(word), 0);
  const count = Math.max(1, words.length);
  return {
    sentences,
    words: words.length,
    syllables,
    reading_ease: round(206.835 - 1.015 * (count / sentences) - 84.6 * (syllables / count)),
    grade: round(0.39 * (count / sentences) + 11.8 * (syllables / count) - 15.59),
  };
}

export function entitiesOf(content: string): Entities {
  return {
    urls: unique(matches(content, /https?:\/\/[^\s<>()[\]"'`]+/g)),
    emails: unique(matches(content, /[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}/g)),
    versions: unique(matches(content, /\bv?\d{1,5}\.\d{1,5}\.\d{1,5}\b/g)),
    code_words: unique(matches(content, /`[^`\n]{1,60}`/g)),
  };
}

/** The lines outside of fenced code, and how many blocks of code there are. */
function splitCode(content: string): { prose: string[]; codeBlocks: number } {
  const prose: string[] = [];
  let open: string | undefined;
  let codeBlocks = 0;
  for (const line of content.split(/\r?\n/)) {
    const fence = FENCE.exec(line)?.[1];
    if (open === undefined && fence !== undefined) {
      open = fence;
      codeBlocks += 1;
    } else if (open !== undefined) {
      if (fence === open) open = undefined;
    } else prose.push(line);
  }
  return { prose, codeBlocks };
}

/** What a reader reads: no code, no addresses, no markup. */
function plainText(content: string): string {
  return splitCode(content)
    .prose.join('\n')
    .replace(/<[^<>]{0,500}>/g, ' ')
    .replace(/`[^`\n]*`/g, ' ')
    .replace(/\]\([^)\n]{0,500}\)/g, ' ')
    .replace(/https?:\/\/\S+/g, ' ')
    .replace(/[#>*_|[\]~]/g, ' ');
}

function wordsIn(text: string): string[] {
  return matches(text, /\p{L}[\p{L}'’-]*/gu);
}

/** Groups of vowels, which is near enough for English. */
function syllablesOf(word: string): number {
  const sounded = word.toLowerCase().replace(/e$/, '');
  return Math.max(1, matches(sounded, /[aeiouyäöüéèáàóòí]+/g).length);
}

function matches(text: string, pattern: RegExp): string[] {
  return text.match(pattern) ?? [];
}

function unique(found: string[]): string[] {
  return [...new Set(found)].sort().slice(0, MOST_ENTITIES);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
