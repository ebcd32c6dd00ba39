import assert from "node:assert/strict";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { runCli, type CliDeps, type Roles, type StopSignal } from "../../../src/cli/index.ts";

export interface CliRun extends Disposable {
  /** a fresh folder, which is the command's own */
  cwd: string;
  /** Runs one command line against `hub`, with a key. */
  run(hub: string, ...argv: string[]): Promise<number>;
  /** Runs one command line as it is. */
  raw(...argv: string[]): Promise<number>;
  signal(name: StopSignal): void;
  stdout(): Buffer;
  stderr(): string;
}

export interface CliOptions {
  /** what the command reads; nothing by default, as from `/dev/null` */
  stdin?: Readable;
  /** replaces stdout */
  stdoutStream?: Writable;
  roles?: Partial<Roles>;
  /** environment variables; none by default */
  variables?: NodeJS.ProcessEnv;
}

/** The command line in this process, with everything around it in our hand. */
export function cli(options: CliOptions = {}): CliRun {
  const cwd = mkdtempSync(join(tmpdir(), "sallyport-cli-"));
  const keyFile = join(cwd, "key");
  writeFileSync(keyFile, "sp_test", { mode: 0o600 });
  // A pipe would do as well; any descriptor that is neither a terminal nor /dev/null holds input.
  const fd = openSync(options.stdin === undefined ? "/dev/null" : keyFile, "r");
  const [out, err] = [collector(), collector()];
  const listeners = new Set<(signal: StopSignal, count: number) => void>();
  let signals = 0;
  const nothing = (): never => assert.fail("no role is expected to run");
  const deps: CliDeps = {
    stdin: { fd, open: () => options.stdin ?? assert.fail("stdin is not expected to be read") },
    stdout: options.stdoutStream ?? out.stream,
    stderr: err.stream,
    cwd,
    variables: options.variables ?? {},
    watchSignals: (listener) => {
      listeners.add(listener);
      return { [Symbol.dispose]: () => listeners.delete(listener) };
    },
    roles: {
      hub: nothing,
      worker: nothing,
      connector: nothing,
      proxy: nothing,
      dev: nothing,
      probe: nothing,
      sandboxesOf: nothing,
      watchSandboxes: nothing,
      keys: nothing,
      certs: nothing,
      explain: nothing,
      profileCosts: nothing,
      ...options.roles,
    },
  };
  const raw = (...argv: string[]): Promise<number> => runCli(argv, deps, "0.0.0");
  return {
    cwd,
    raw,
    run: (hub, command, ...rest) => raw(command ?? "", "--hub", hub, "--key-file", "key", ...rest),
    signal: (name) => {
      signals += 1;
      for (const listener of listeners) listener(name, signals);
    },
    stdout: () => out.bytes(),
    stderr: () => err.bytes().toString("utf8"),
    [Symbol.dispose]: () => {
      closeSync(fd);
      rmSync(cwd, { recursive: true, force: true });
    },
  };
}

function collector(): { stream: Writable; bytes(): Buffer } {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      chunks.push(Buffer.from(chunk));
      done();
    },
  });
  return { stream, bytes: () => Buffer.concat(chunks) };
}
