import { composeApi } from '../compose/processes.ts';
import { runProcess } from '../launch/run-process.ts';

await runProcess('api', composeApi);
