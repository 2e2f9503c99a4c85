import { composeWorker } from '../compose/processes.ts';
import { runProcess } from '../launch/run-process.ts';

await runProcess('worker', composeWorker);
