import { runLaunch } from '../launch/run-launch.ts';

await runLaunch();
