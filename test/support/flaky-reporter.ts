/** Names at the end the tests that needed a second attempt, with what the first one failed of: a pass, and yet work to do. */
import type { Reporter, TestCase } from 'vitest/node';

const SHOWN = 400;

class FlakyReporter implements Reporter {
  private readonly flaky: TestCase[] = [];

  onTestCaseResult(test: TestCase): void {
    if (test.diagnostic()?.flaky === true) this.flaky.push(test);
  }

  onTestRunEnd(): void {
    for (const test of this.flaky) {
      const first = test.result().errors?.[0]?.message ?? 'no error was kept';
      process.stdout.write(`flaky: ${test.module.relativeModuleId} > ${test.fullName}: ${first.slice(0, SHOWN)}\n`);
    }
    process.stdout.write(`${this.flaky.length} needed a second attempt\n`);
  }
}

// biome-ignore lint/style/noDefaultExport: this is how vitest loads a reporter that is named on its command line.
export default FlakyReporter;
