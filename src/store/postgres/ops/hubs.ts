import type { HubRecord } from "../../contract.ts";
import type { DirectCall } from "../calls.ts";
import { statement } from "../statement.ts";

const announceHub = statement(
  "announce_hub",
  `WITH gone AS (
     DELETE FROM hubs WHERE hub_id IN (
       SELECT hub_id FROM hubs WHERE live_until < clock_timestamp() AND hub_id <> $1 FOR UPDATE SKIP LOCKED))
   INSERT INTO hubs (hub_id, url, secret, live_until)
   VALUES ($1, $2, $3, clock_timestamp() + $4 * interval '1 millisecond')
   ON CONFLICT (hub_id) DO UPDATE
     SET url = excluded.url, secret = excluded.secret, live_until = excluded.live_until`,
);

export function announce({ hubId, url, secret }: HubRecord, liveMs: number): DirectCall<void> {
  return {
    kind: "direct",
    single: true,
    run: async ({ connection }) => {
      await connection.run(announceHub, [hubId, url, secret, liveMs]);
    },
  };
}

const forgetHub = statement("forget_hub", "DELETE FROM hubs WHERE hub_id = $1");

export function leave(hubId: string): DirectCall<void> {
  return {
    kind: "direct",
    single: true,
    run: async ({ connection }) => {
      await connection.run(forgetHub, [hubId]);
    },
  };
}
