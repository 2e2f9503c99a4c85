/** Collects the faults of a definition, bounded, so that all of them can be reported at once. */
import { MAX_FAULTS, MAX_SUGGESTIONS } from '../../schemas/faults.ts';
import { didYouMean } from '../../schemas/nearest.ts';
import { type ErrorCode, type FieldFault, OrchestratorError } from '../errors.ts';

/** The first faults stand in the detail, for clients that read nothing else. */
const DETAILED_FAULTS = 10;

export class FaultList {
  readonly #faults: FieldFault[] = [];
  #count = 0;
  #suggestions = 0;

  add(path: string, message: string): void {
    this.#count++;
    if (this.#faults.length < MAX_FAULTS) this.#faults.push({ path, message });
  }

  addAll(faults: readonly FieldFault[]): void {
    for (const { path, message } of faults) this.add(path, message);
  }

  /** `" (did you mean 'x'?)"`, for the first unknown names; nothing for the rest. */
  suggest(name: string, known: Iterable<string>): string {
    if (this.#suggestions >= MAX_SUGGESTIONS) return '';
    this.#suggestions++;
    return didYouMean(name, known);
  }

  throwIfAny(code: ErrorCode, sentence: string): void {
    if (this.#count > 0) throw this.toError(code, sentence);
  }

  toError(code: ErrorCode, sentence: string): OrchestratorError {
    const named = this.#faults
      .slice(0, DETAILED_FAULTS)
      .map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
    const rest = this.#count - named.length;
    const detail = `${sentence}: ${named.join('; ')}${rest > 0 ? `; and ${rest} more` : ''}`;
    return new OrchestratorError(code, detail, { errors: this.#faults });
  }
}
