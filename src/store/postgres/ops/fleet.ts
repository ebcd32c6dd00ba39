import type { ProfileOffer } from "../../../protocol/index.ts";
import type { DirectCall } from "../calls.ts";
import { columns, statement } from "../statement.ts";

const upsertProfiles = statement(
  "save_profiles",
  `INSERT INTO profiles (name, offer, worker_id, seen_at)
   SELECT name, offer, $3, $4 FROM unnest($1::text[], $2::text[]) AS n (name, offer) ORDER BY name
   ON CONFLICT (name) DO UPDATE SET offer = excluded.offer, worker_id = excluded.worker_id, seen_at = excluded.seen_at`,
);

export function saveProfiles(
  workerId: string,
  offers: readonly ProfileOffer[],
  now: number,
): DirectCall<void> {
  const byName = new Map(offers.map((offer) => [offer.name, JSON.stringify(offer)]));
  return {
    kind: "direct",
    single: true,
    run: async ({ connection }) => {
      await connection.run(upsertProfiles, [...columns([...byName], 2), workerId, now]);
    },
  };
}

const writeProbe = statement(
  "write_probe",
  `WITH gone AS (DELETE FROM probe)
   INSERT INTO probe (bytes) SELECT decode(repeat('00', 16384), 'hex')`,
);

/** Takes pages and fills them: what taking a job would need. */
export function check(): DirectCall<void> {
  return {
    kind: "direct",
    single: true,
    run: async ({ connection }) => {
      await connection.run(writeProbe);
    },
  };
}
