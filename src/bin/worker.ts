import { composeWorker } from '../compose.ts';
import { runProcess } from '../launch/run-process.ts';

await runProcess('worker', composeWorker);
