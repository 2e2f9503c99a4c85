/** `npm run example:document-analysis [-- <how many documents>]`, while the service is running. */
import { endWith, targetFrom } from '../orchestrator.ts';
import { analyseDocuments } from './analyse-documents.ts';

const DEFAULT_COUNT = 200;
const LARGEST_COUNT = 1_000;

async function main(): Promise<boolean> {
  const count = Number(process.argv[2] ?? DEFAULT_COUNT);
  if (!Number.isInteger(count) || count < 1 || count > LARGEST_COUNT) {
    throw new Error(`How many documents? 1 to ${LARGEST_COUNT}, not ${process.argv[2]}.`);
  }
  const say = (line: string) => console.log(line);
  const { differences } = await analyseDocuments({ ...targetFrom(process.env), count, folder: 'node_modules', say });
  return differences.length === 0;
}

await endWith(main());
