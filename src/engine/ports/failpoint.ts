/** A named point in the engine at which a test may make the process fail. Nothing happens there otherwise. */
import type { FailpointName } from '../../schemas/failpoints.ts';

export type Failpoint = (name: FailpointName) => Promise<void> | undefined;

export const NO_FAILPOINT: Failpoint = Object.freeze(() => undefined);
