/** Every size and count the wire is held to; both ends refuse what is larger. */
export const limits = {
  /** bytes of one control message */
  messageBytes: 4 * 2 ** 20,
  /** brackets within brackets: more than any message has, few enough for every recursive reader */
  jsonDepth: 64,
  /** payload bytes of one binary frame */
  frameBytes: 128 * 2 ** 10,
  /** bytes one stream may have in flight before its receiver grants more */
  streamWindow: 1 * 2 ** 20,
  /** streams open at once on one channel, per direction */
  streams: 4_096,
  /** bytes of a job's `code` */
  codeBytes: 1 * 2 ** 20,
  /** bytes of a job's `files` and `stdin` text together */
  inputBytes: 64 * 2 ** 20,
  /** bytes of a job as it is offered, in JSON and without those contents: what one message holds, less what an offer says besides */
  specBytes: 4 * 2 ** 20 - 16 * 2 ** 10,
  /** files of one job */
  files: 1_000,
  /** bytes of a path inside the sandbox */
  pathBytes: 1_024,
  /** arguments of a command, and bytes of all of them together */
  arguments: 4_096,
  argumentBytes: 1 * 2 ** 20,
  /** environment variables, and bytes of all of them together */
  env: 256,
  envBytes: 256 * 2 ** 10,
  labels: 32,
  artifacts: 100,
  mcpHosts: 32,
  /** routes one process offers, or is told of */
  routes: 4_096,
} as const;

/** Versions of the channel protocol this build speaks. */
export const protocolVersions = { min: 1, max: 1 } as const;
export const subprotocol = "sallyport.v1";
export const connectPath = "/v1/connect";

/** Intervals in `ms` the hub chooses and tells each worker in `welcome`. */
export const defaultIntervals = {
  heartbeatMs: 5_000,
  /** silence after which a worker is offered nothing */
  suspectMs: 12_000,
  leaseMs: 30_000,
  /** a worker cut off this long stops its own sandboxes; below `leaseMs` */
  selfStopMs: 25_000,
  /** an offer not accepted within this goes back to the queue */
  offerMs: 5_000,
  /** between SIGTERM and SIGKILL of a cancelled job */
  graceMs: 10_000,
} as const;
export type Intervals = { -readonly [K in keyof typeof defaultIntervals]: number };
