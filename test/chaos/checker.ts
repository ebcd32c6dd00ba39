/** Reads a whole history and says which invariants it breaks. Pure: the same history gives the same answer. */
import type { Entry, History } from "./history.ts";
import { Case } from "./case.ts";
import { cancels } from "./invariants/cancels.ts";
import { ends } from "./invariants/ends.ts";
import { leftovers } from "./invariants/leftovers.ts";
import { output } from "./invariants/output.ts";
import { results } from "./invariants/results.ts";
import { starts } from "./invariants/starts.ts";

/**
 * `I1` every acknowledged job ends, once · `I2` one result, the same for everybody · `I3` one start per grant, never two runs of a
 * job at once, no second start of a job that is not retryable · `I4` output exact or marked · `I5` after a cancel no start, and an end · `I6` nothing
 * left behind · `I7` what was acknowledged survives.
 */
export type Invariant = "I1" | "I2" | "I3" | "I4" | "I5" | "I6" | "I7";

export interface Violation {
  invariant: Invariant;
  /** job id, or what else it is about */
  about: string;
  message: string;
  /** the part of the history that shows it */
  piece: readonly Entry[];
}

export function check(history: History): Violation[] {
  const subject = new Case(history);
  return [ends, results, starts, output, cancels, leftovers].flatMap((invariant) => invariant(subject));
}
