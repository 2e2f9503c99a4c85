/** The default command of the image: migration, API and a worker in one container, with a database where none is configured. */
import { runLaunch } from '../launch/run-launch.ts';

await runLaunch();
