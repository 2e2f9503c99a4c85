/** What the example prints. */
import type { Analysis } from './analysis.ts';

export interface Row {
  analysis: Analysis;
  status: string;
  durationMs: number | null;
  equal: boolean;
}

const DOCUMENT_WIDTH = 44;

export function formatTable(rows: readonly Row[]): string {
  const header = ['document', 'words', 'quality', 'ease', 'grade', 'urls', 'run', 'ms', 'equal'];
  const cells = rows.map(({ analysis, status, durationMs, equal }) => [
    shorten(analysis.document),
    String(analysis.quality.words),
    String(analysis.quality.score),
    analysis.readability.reading_ease.toFixed(1),
    analysis.readability.grade.toFixed(1),
    String(analysis.entities.urls.length),
    status,
    durationMs === null ? '' : String(durationMs),
    equal ? 'yes' : 'NO',
  ]);
  const widths = header.map((name, column) => Math.max(name.length, ...cells.map((line) => line[column]?.length ?? 0)));
  const line = (texts: readonly string[]) =>
    texts
      .map((text, column) => (column === 0 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0)))
      .join('  ');
  return [line(header), line(widths.map((width) => '-'.repeat(width))), ...cells.map(line)].join('\n');
}

/** The end of a path says more than its beginning. */
function shorten(text: string): string {
  return text.length <= DOCUMENT_WIDTH ? text : `…${text.slice(text.length - DOCUMENT_WIDTH + 1)}`;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
