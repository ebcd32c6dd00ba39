export type { JobRequest, JobResult, JobState } from "../protocol/index.ts";
export { createClient, type Client } from "./client.ts";
export type { FollowOptions, JobEvent } from "./events.ts";
export type { HubAddress } from "./http.ts";
export {
  JobsClient,
  type ArtifactDownload,
  type ListOptions,
  type OutputOptions,
  type RunningJob,
  type StdinSource,
  type SubmitOptions,
  type Waiting,
} from "./jobs.ts";
export { SseParser, type SseEvent } from "./sse.ts";
export type { JobPageView, JobView, ProfileView, ReadyView, RouteView, WorkerView } from "./views.ts";
