import { composeApi } from '../compose.ts';
import { runProcess } from '../launch/run-process.ts';

await runProcess('api', composeApi);
