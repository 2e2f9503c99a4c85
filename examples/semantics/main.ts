/** `npm run example -- <name>`, while the service is running; without a name all of them, one after the other. */
import { endWith, targetFrom } from '../orchestrator.ts';
import { EXAMPLES } from './all.ts';
import { runExample } from './example.ts';

const [wanted] = process.argv.slice(2);
const chosen = EXAMPLES.filter(({ name }) => wanted === undefined || name === wanted);

async function runAll(): Promise<boolean> {
  if (chosen.length === 0) {
    throw new Error(`There is no example '${wanted}'; there are ${EXAMPLES.map(({ name }) => name).join(', ')}.`);
  }
  let good = true;
  for (const example of chosen) {
    console.log(`${example.name}:`);
    const asTold = await runExample(example, targetFrom(process.env), (line) => console.log(`  ${line}`));
    console.log(asTold ? '  as told' : '  NOT as told');
    good &&= asTold;
  }
  return good;
}

await endWith(runAll());
