import type { ProfileOffer } from "../../protocol/index.ts";
import type { FleetStore } from "../contract.ts";
import type { Threads } from "./threads.ts";

export function fleetStore({ writer, reader }: Threads): FleetStore {
  return {
    saveProfiles: (workerId, offers, now) => {
      const rows = offers.map((offer) => ({ name: offer.name, offer: JSON.stringify(offer) }));
      return writer.call("saveProfiles", { workerId, offers: rows, now });
    },
    profiles: async () =>
      (await reader.call("profiles", undefined)).map(({ offer, workerId, seenAt }) => ({
        offer: JSON.parse(offer) as ProfileOffer,
        workerId,
        seenAt,
      })),
    workers: () => reader.call("workers", undefined),
  };
}
