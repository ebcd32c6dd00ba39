/** What is told of a job, out of its row. */
import type { JobSpec } from "../../protocol/index.ts";
import type { JobGist } from "../contract.ts";
import type { GistRow } from "./row-types.ts";

/** Columns of the table `jobs`, known as `name`. */
export function gistColumns(name: string): string {
  const spec = `CASE WHEN ${name}.labels IS NULL THEN ${name}.spec END AS spec`;
  return `${name}.profile, ${name}.priority, ${name}.labels, ${spec}`;
}

export function gistOf({ profile, priority, labels, spec }: GistRow): JobGist {
  if (labels !== null) return { profile, priority: priority ?? 0, labels: JSON.parse(labels) as Labels };
  const told = JSON.parse(spec ?? "{}") as JobSpec;
  return { profile, priority: told.priority, labels: told.labels };
}

type Labels = JobSpec["labels"];
