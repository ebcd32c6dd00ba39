/** What a job's time went into. */
import type { JobRecord } from "./contract.ts";

/** In the order a job goes through them; `firstByte` and `total` span several. */
export const stageNames = [
  "wait",
  "submit",
  "queue",
  "adopt",
  "create",
  "run",
  "exit",
  "firstByte",
  "total",
] as const;
export type StageName = (typeof stageNames)[number];

export const stageMeanings: Readonly<Record<StageName, string>> = {
  wait: "due until sent: the cap on outstanding jobs",
  submit: "sent until the hub has it on disk",
  queue: "until a worker has it, by the hub's clock",
  adopt: "until the command runs, in a warm sandbox, by the worker's clock",
  create: "until the command runs, in a sandbox made for it, by the worker's clock",
  run: "the command itself, by the worker's clock",
  exit: "from the command's end until its result is here",
  firstByte: "due until the first byte of output is here",
  total: "due until the result is here",
};

/** `ms` in one stage; undefined where the job never went through it. */
export function stageOf(job: JobRecord, stage: StageName): number | undefined {
  const timings = job.end?.timings;
  const started = job.startedAt === null ? undefined : timings;
  switch (stage) {
    case "wait":
      return job.sentAt - job.scheduledAt;
    case "submit":
      return job.queuedAt === null ? undefined : job.queuedAt - job.sentAt;
    case "queue":
      return timings?.queuedMs;
    case "adopt":
      return started?.warm === true ? started.startMs : undefined;
    case "create":
      return started?.warm === false ? started.startMs : undefined;
    case "run":
      return started?.runMs;
    case "exit":
      // Both ends are seen here, so that one way over the network is not counted twice.
      return started && Math.max(0, job.finishedAt - (job.startedAt ?? 0) - started.runMs);
    case "firstByte":
      return job.firstByteAt === null ? undefined : job.firstByteAt - job.scheduledAt;
    case "total":
      return job.finishedAt - job.scheduledAt;
  }
}

export function samplesOf(jobs: readonly JobRecord[], stage: StageName): number[] {
  return jobs.map((job) => stageOf(job, stage)).filter((ms) => ms !== undefined);
}
