import { SallyportError } from "../../errors.ts";
import { protocolVersions } from "../../protocol/index.ts";

/** The highest version both speak. Throws `protocol_unsupported`. */
export function negotiate(theirs: { min: number; max: number }): number {
  const version = Math.min(theirs.max, protocolVersions.max);
  if (version >= Math.max(theirs.min, protocolVersions.min)) return version;
  const { min, max } = protocolVersions;
  throw new SallyportError(
    "protocol_unsupported",
    `protocol: the caller speaks ${theirs.min} to ${theirs.max}, this hub ${min} to ${max}`,
    { details: { field: "protocol", theirs, ours: { min, max }, fix: "upgrade the older of the two" } },
  );
}
