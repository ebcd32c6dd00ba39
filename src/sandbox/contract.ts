/**
 * What a back end that makes sandboxes promises. A sandbox serves any number of execs, one after another or at once; a
 * sandbox that ran anything is never restarted, committed or handed to somebody else.
 */
import type { Duplex } from "node:stream";
import type { Profile } from "./profile/index.ts";

/** What a sandbox is made from. Nothing in it can name an engine option or a host path. */
export interface SandboxSpec {
  profile: Profile;
  /** The lease or pool slot this sandbox is made for; becomes a label */
  lease: string;
  /** Names that resolve to the sandbox's own loopback */
  hosts: readonly string[];
}

export interface Driver extends AsyncDisposable {
  /** `docker`, `fake` */
  readonly name: string;
  /** Finds out what this engine really enforces by running a container; throws `engine_unavailable` with the fix. */
  probe(signal?: AbortSignal): Promise<ProbeReport>;
  /** Makes sure the profile's image (with the guest in it) is there; throws `image_unavailable` or `runtime_unavailable`. */
  prepare(profile: Profile, signal?: AbortSignal): Promise<void>;
  /** All or nothing: a rejected create leaves nothing behind. The guest has answered when it resolves. */
  create(spec: SandboxSpec, signal?: AbortSignal): Promise<Sandbox>;
  /** Every sandbox with this worker's label, whichever life of the worker made it */
  list(): Promise<SandboxInfo[]>;
  /** Removes this worker's sandboxes that no live `Sandbox` object owns and that are older than `graceMs`; returns ids. */
  reap(graceMs: number): Promise<string[]>;
}

export interface SandboxInfo {
  id: string;
  worker: string;
  boot: string;
  lease: string;
  profile: string;
  /** Wall clock, `ms` since the epoch */
  createdAt: number;
}

export interface ProbeReport {
  engine: { name: string; version: string; runtimes: string[]; facts: Record<string, string> };
  /** Every promise of the sandbox, with what a probe sandbox saw */
  checks: ProbeCheck[];
  warnings: string[];
}

export interface ProbeCheck {
  id: string;
  promise: string;
  ok: boolean;
  /** What was tried from inside and what happened */
  evidence: string;
  /** How to get it where it is missing */
  fix?: string;
}

export interface Sandbox extends AsyncDisposable {
  readonly id: string;
  readonly profile: Profile;
  /** The framed conversation with the guest: every exec and file call of this sandbox */
  readonly guest: Guest;
  /** Resolves once the sandbox is gone, whoever ended it; never rejects */
  readonly ended: Promise<SandboxEnd>;
  stats(): Promise<SandboxStats>;
  /** True once memory ran out inside, also when only a child of the command was killed */
  memoryRanOut(): Promise<boolean>;
}

export interface SandboxEnd {
  /** `removed`: we did it; `exited`: the guest ended by itself; `lost`: the engine or the sandbox went away under us */
  by: "removed" | "exited" | "lost";
  /** Exit code of the guest as the engine saw it */
  exitCode: number | null;
  oom: boolean;
}

export interface SandboxStats {
  memoryBytes: number;
  cpuMs: number;
  pids: number;
}

/** Raw bytes to and from a guest, as a driver provides them; the guest's diagnostics come apart. */
export interface GuestLink {
  readonly stream: Duplex;
  /** What the guest wrote on its stderr, bounded */
  diagnostics(): string;
}

/**
 * One TCP connection inside the sandbox, as the host holds it. Half-close is carried both ways, back-pressure too. `destroy`
 * resets the connection inside, except after `end` and without an error: then what was written still arrives, as with a socket
 * that is closed. A reset inside destroys this one with `stream_reset`, the end of the conversation with what ended it. An
 * `error` that nobody listens for is harmless, so that no program can end the host.
 */
export interface GuestSocket extends Duplex {
  /** The sandbox's loopback port: listened on, or connected to */
  readonly port: number;
}

/** The sandbox's loopback, which is all the network there is. */
export interface GuestNet {
  /**
   * Makes the guest listen on 127.0.0.1 at each of `ports`; what a program connects to comes as `onConnection`. At most once for a
   * port. Throws `capacity_exhausted` (details.port) when a program holds the port already.
   */
  listen(ports: readonly number[], onConnection: (socket: GuestSocket) => void): Promise<void>;
  /** Connects to a port on the sandbox's loopback. Throws `upstream_unreachable` when nothing listens there. */
  connect(port: number): Promise<GuestSocket>;
}

/** The host's end of the guest protocol. Every byte from the guest is treated as hostile. */
export interface Guest extends GuestNet {
  exec(spec: ExecSpec): Promise<Exec>;
  /** Kills every process in the sandbox but the guest. */
  killAll(): void;
  readonly files: GuestFiles;
  /** Resolves when the conversation is over: EOF, or `guest_violation`; never rejects */
  readonly closed: Promise<Error | undefined>;
  close(): void;
}

export interface ExecSpec {
  argv: readonly string[];
  /** Added to the sandbox's own environment */
  env: Readonly<Record<string, string>>;
  /** Absolute, inside the sandbox */
  cwd: string;
  /** `none`: the program reads EOF at once; `pipe`: what `stdin` is given */
  stdin: "none" | "pipe";
  /** With a terminal stdout and stderr are one stream, told as stdout */
  tty?: { cols: number; rows: number };
}

export type OutputStream = "stdout" | "stderr";

export interface OutputChunk {
  stream: OutputStream;
  bytes: Uint8Array;
}

/** One process tree inside a sandbox. */
export interface Exec {
  readonly id: number;
  /**
   * Everything the program prints, byte-exact, in the order the guest read it; ends when both streams have ended.
   * The guest is given more credit only as this is consumed, so a slow consumer stops the program, not the host.
   */
  readonly output: AsyncIterable<OutputChunk>;
  readonly stdin: ExecStdin;
  /** How the main process ended; may come before the end of `output` when a child holds a stream open. */
  readonly exit: Promise<ExecExit>;
  /** Signals the exec's process group. */
  signal(name: "SIGTERM" | "SIGKILL" | "SIGINT" | "SIGHUP" | "SIGQUIT" | "SIGUSR1" | "SIGUSR2"): void;
  /** Kills the whole tree, also what left the process group, so that `output` ends. */
  killTree(): void;
  resize(size: { cols: number; rows: number }): void;
}

export interface ExecStdin {
  /** Resolves when the guest has room for more; rejects with `stdin_closed` when the program no longer reads. */
  write(bytes: Uint8Array): Promise<void>;
  end(): void;
}

export interface ExecExit {
  /** Set unless a signal ended the program */
  exitCode: number | null;
  /** `SIGKILL` … when a signal ended the program */
  signal: string | null;
  usage: { cpuMs: number; maxRssBytes: number };
}

export interface FileStat {
  path: string;
  type: "file" | "directory" | "link" | "other";
  size: number;
  mode: number;
  /** `ms` since the epoch */
  mtime: number;
}

/**
 * Files inside the sandbox, under its writable folders; relative paths start at `/workspace`. Links are never followed
 * and never made. Errors: `file_unknown`, `file_refused` (with `details.path`), `capacity_exhausted` when the disk is full.
 */
export interface GuestFiles {
  /** Makes missing parent folders. */
  put(path: string, content: Uint8Array | AsyncIterable<Uint8Array>, mode?: number): Promise<void>;
  /** Regular files only; ends with `capacity_exhausted` when the file is larger than `maxBytes`. */
  get(path: string, maxBytes: number): AsyncIterable<Uint8Array>;
  stat(path: string): Promise<FileStat>;
  list(path: string): Promise<FileStat[]>;
  mkdir(path: string): Promise<void>;
  /** A folder goes with everything in it. */
  remove(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
}
