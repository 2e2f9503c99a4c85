/** A test that is one fault of operation on an installation of its own. */
import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { endure, type FaultOfOperation } from './endure.ts';
import { type InstallationOptions, openInstallation } from './installation.ts';

const TEST_MS = 420_000;

export function operationsTest(name: string, options: InstallationOptions, fault: FaultOfOperation): void {
  test(name, { timeout: TEST_MS }, async () => {
    const installation = await openInstallation(options);
    try {
      const endured = await endure(installation, fault);
      const file = process.env['OPERATIONS_REPORT'];
      if (file !== undefined)
        writeFileSync(file, `${JSON.stringify({ name, ...endured }, null, 1)}\n${installation.tail(1_500)}\n`);
      expect(endured.faults, JSON.stringify(endured, null, 1)).toEqual([]);
    } catch (error) {
      process.stderr.write(`${installation.tail()}\n`);
      throw error;
    } finally {
      await installation.close();
    }
  });
}
