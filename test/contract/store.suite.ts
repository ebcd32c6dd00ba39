/** What every store promises, asked of any engine. */
import type { StoreEngine } from "../helpers/store.ts";
import { cancellingLaws } from "./store/cancelling.ts";
import { claimsLaws } from "./store/claims.ts";
import { endsLaws } from "./store/ends.ts";
import { fencesLaws } from "./store/fences.ts";
import { keepingHouseLaws } from "./store/keeping-house.ts";
import { logsLaws } from "./store/logs.ts";
import { sessionsLaws } from "./store/sessions.ts";
import { submissionLaws } from "./store/submission.ts";
import { lawsOf } from "./store/laws.ts";

export function storeSuite(engine: StoreEngine): void {
  const laws = lawsOf(engine);
  submissionLaws(laws);
  claimsLaws(laws);
  fencesLaws(laws);
  endsLaws(laws);
  cancellingLaws(laws);
  sessionsLaws(laws);
  logsLaws(laws);
  keepingHouseLaws(laws);
}
