/** Looks at expressions, patterns and schemas in the thread of the test. */
import { answeringAtOnce } from '../../src/engine/accept/with-checks.ts';
import { createDirectChecks } from '../../src/expressions/direct-checks.ts';

export const checks = createDirectChecks();
export const texts = answeringAtOnce(checks);
