/** What the drill is told on the command line. */
import { parseArgs } from 'node:util';

export interface Options {
  backend: 'redis' | 'postgres';
  runs: number;
  /** Locks of a second and a half instead of those of production. */
  hurried: boolean;
  help: boolean;
}

export const HELP = `npm run drill -- [options]
  --backend <kind>  redis or postgres: where the queue is (redis)
  --runs <n>        how many runs are accepted, a part of them before each fault and a part during it (300)
  --hurried         short locks: recovery takes seconds, and its times are not those of production
  --help`;

export function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      backend: { type: 'string', default: 'redis' },
      runs: { type: 'string', default: '300' },
      hurried: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const { backend, hurried, help } = values;
  if (backend !== 'redis' && backend !== 'postgres') {
    throw new Error(`--backend must be redis or postgres, not '${backend}'`);
  }
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1)
    throw new Error(`--runs must be a whole number from 1 on, not '${values.runs}'`);
  return { backend, runs, hurried, help };
}
