/** Real documents: the Markdown files that come with the packages this project depends on. */
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';

const SMALLEST_BYTES = 200;
/** An output of an action may have 1 MiB. */
const LARGEST_BYTES = 256 * 1024;

/** Paths below `folder`, each package's own README first. */
export function findDocuments(folder: string, count: number): string[] {
  const found = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(md|markdown)$/i.test(entry.name))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .filter((file) => {
      const { size } = statSync(file);
      return size >= SMALLEST_BYTES && size <= LARGEST_BYTES;
    })
    .map((file) => path.relative(folder, file).split(path.sep).join('/'))
    .sort((left, right) => rank(left) - rank(right) || (left < right ? -1 : 1));
  if (found.length < count) {
    throw new Error(`${folder} has ${found.length} Markdown files of a useful size; ${count} are wanted.`);
  }
  return found.slice(0, count);
}

function rank(file: string): number {
  return /(^|\/)readme\.md$/i.test(file) ? 0 : 1;
}
