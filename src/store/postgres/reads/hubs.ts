import type { HubRecord } from "../../contract.ts";
import type { Connection } from "../connection.ts";
import { statement } from "../statement.ts";

const readHubs = statement(
  "read_hubs",
  `SELECT hub_id AS "hubId", url, secret FROM hubs WHERE live_until >= clock_timestamp() ORDER BY hub_id COLLATE "C"`,
);

export async function hubs(connection: Connection): Promise<HubRecord[]> {
  return await connection.run<HubRecord>(readHubs);
}
