/** Reads what a program is told; where it makes no sense the program says why, and what it can be told, and ends with code 2. */
export function optionsOrExit<T>(read: (args: string[]) => T, help: string): T {
  try {
    return read(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${help}\n`);
    process.exit(2);
  }
}
