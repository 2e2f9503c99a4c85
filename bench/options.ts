/** What the benchmark is told on the command line. */
import { parseArgs } from 'node:util';
import { WORKLOADS, type Workload } from './workloads.ts';

export interface Options {
  /** Length of one measurement of one side, about. */
  seconds: number;
  repeat: number;
  /** Of each side, the same time for all. */
  warmSeconds: number;
  workloads: readonly Workload[];
  curve: boolean;
  /** Runs that wait at a time, for the cost curve. */
  backlogs: readonly number[];
  /** A folder for CPU profiles of the API and the worker. */
  profile: string | undefined;
  /** Of the files in bench/results. */
  name: string;
}

export const HELP = `npm run bench -- [options]
  --seconds <n>   length of one measurement of one side (4)
  --repeat <n>    measurements of each side, interleaved; the median counts (3)
  --warm <n>      seconds of warming up, for each side and workload (as --seconds)
  --only <list>   workloads, of W1,W2,W3,W4 (all)
  --curve         the cost curve instead: queued runs, workers, fan-out
  --backlogs <l>  with --curve: how many runs are queued (1000,10000,100000)
  --profile <dir> writes CPU profiles of the API and the worker
  --name <name>   of the files in bench/results (bench, or curve)`;

export function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      seconds: { type: 'string', default: '4' },
      repeat: { type: 'string', default: '3' },
      warm: { type: 'string' },
      only: { type: 'string' },
      curve: { type: 'boolean', default: false },
      backlogs: { type: 'string', default: '1000,10000,100000' },
      profile: { type: 'string' },
      name: { type: 'string' },
    },
  });
  const wanted = values.only?.split(',');
  const workloads = WORKLOADS.filter(({ id }) => wanted === undefined || wanted.includes(id));
  if (workloads.length !== (wanted?.length ?? WORKLOADS.length)) throw new Error(`--only: unknown in ${values.only}`);
  return {
    seconds: positive('seconds', values.seconds),
    repeat: positive('repeat', values.repeat),
    warmSeconds: positive('warm', values.warm ?? values.seconds),
    workloads,
    curve: values.curve,
    backlogs: values.backlogs.split(',').map((text) => positive('backlogs', text)),
    profile: values.profile,
    name: values.name ?? (values.curve ? 'curve' : 'bench'),
  };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${name} must be a positive number, not '${text}'`);
  return value;
}
