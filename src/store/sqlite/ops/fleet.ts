import type { Db } from "../database.ts";

export interface SaveProfilesArgs {
  workerId: string;
  /** names and JSON */
  offers: readonly { name: string; offer: string }[];
  now: number;
}

export function saveProfiles(db: Db, { workerId, offers, now }: SaveProfilesArgs): void {
  for (const { name, offer } of offers) {
    db.run(
      `INSERT INTO profiles (name, offer, worker_id, seen_at) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET offer = excluded.offer, worker_id = excluded.worker_id, seen_at = excluded.seen_at`,
      name,
      offer,
      workerId,
      now,
    );
  }
}

/** Takes pages, fills them and lets them go: what taking a job would need. */
export function check(db: Db): void {
  const id = db.insert("INSERT INTO probe (bytes) VALUES (zeroblob(16384))");
  db.run("DELETE FROM probe WHERE id = ?", id);
}
