/**
 * Properties are checked on the same values every time, so that a run of the tests depends on the program alone. Other
 * values are looked at with `PROPERTY_SEED=<n>`, or `PROPERTY_SEED=random`, which fast-check prints with what it finds.
 */
import fc from 'fast-check';

const wanted = process.env['PROPERTY_SEED'] ?? '1';

if (wanted !== 'random') {
  if (!/^-?\d{1,10}$/.test(wanted))
    throw new Error(`PROPERTY_SEED is '${wanted}'; it must be a whole number or random`);
  fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(wanted) });
}
