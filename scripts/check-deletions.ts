/** Deletes each feature from a copy of the sources, and fails where more stops compiling than is known to name it. */
import { projectRoot } from '../src/project-root.ts';
import { NAMED_BY, tryDeletions } from './feature-deletions.ts';

let failed = 0;
for (const { feature, rooms, unexpected, unneeded } of await tryDeletions(projectRoot(), NAMED_BY)) {
  console.log(rooms.length === 0 ? `${feature}: goes with its line` : `${feature}: named by ${rooms.join(', ')}`);
  for (const line of unexpected) console.error(`  ${line}`);
  if (unneeded.length > 0) console.error(`  NAMED_BY lists ${unneeded.join(', ')}, where all compiles without it`);
  if (unexpected.length + unneeded.length > 0) failed += 1;
}
console.log(failed === 0 ? 'each feature can be deleted as NAMED_BY says' : `${failed} features cannot be deleted so`);
process.exitCode = failed === 0 ? 0 : 1;
