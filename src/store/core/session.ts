/**
 * The session settings that our statements and the driver rely on. A server, a database or a role may have it set otherwise: a
 * driver that reads ISO dates gets none from a German one. By a statement: a pooler between may reject start-up options.
 */
export const SESSION = [
  `datestyle = 'ISO, YMD'`,
  `intervalstyle = 'postgres'`,
  `timezone = 'UTC'`,
  'standard_conforming_strings = on',
  'bytea_output = hex',
  'extra_float_digits = 1',
  // Whoever has waited for a lock has to see what its holder has committed.
  `default_transaction_isolation = 'read committed'`,
]
  .map((setting) => `SET ${setting}`)
  .join('; ');
