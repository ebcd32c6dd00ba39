/** The programs a fake sandbox knows; `argv[0]` chooses one. */
import { sleep } from "../../async/index.ts";
import type { ExecExit, OutputStream } from "../contract.ts";
import type { FakeFiles } from "./files.ts";

export interface ProgramIo {
  /** Waits for room where the reader is slow */
  write(stream: OutputStream, bytes: Uint8Array): Promise<void> | undefined;
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly files: FakeFiles;
  /** Fires when the program is made to end */
  readonly stopped: AbortSignal;
  /** Notes that memory ran out in the sandbox */
  runOutOfMemory(): void;
}

export type ProgramEnd = Pick<ExecExit, "exitCode" | "signal">;

export interface Program {
  /** Only SIGKILL ends it */
  stubborn?: boolean;
  run(io: ProgramIo, args: readonly string[]): ProgramEnd | Promise<ProgramEnd>;
}

const blockBytes = 64 * 1024;
const success: ProgramEnd = { exitCode: 0, signal: null };
const text = new TextEncoder();
const never = new Promise<ProgramEnd>(() => undefined);

/** The bytes that `bytes N SEED` prints: a linear congruential sequence, the same for the same seed. */
export function* pseudoRandom(count: number, seed: number): Generator<Uint8Array> {
  let state = seed >>> 0;
  for (let left = count; left > 0; left -= blockBytes) {
    const words = new Uint32Array(blockBytes / 4);
    for (let at = 0; at < words.length; at += 1) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      words[at] = state;
    }
    yield new Uint8Array(words.buffer, 0, Math.min(left, blockBytes));
  }
}

async function writeAll(io: ProgramIo, blocks: Iterable<Uint8Array>): Promise<ProgramEnd> {
  for (const block of blocks) {
    if (io.stopped.aborted) break;
    await io.write("stdout", block);
  }
  return success;
}

function* endless(block: Uint8Array): Generator<Uint8Array> {
  for (;;) yield block;
}

const print = (stream: OutputStream): Program["run"] => {
  return async (io, args) => {
    await io.write(stream, text.encode(`${args.join(" ")}\n`));
    return success;
  };
};

export const programs: Readonly<Record<string, Program>> = {
  true: { run: () => success },
  exit: { run: (_io, [code = "0"]) => ({ exitCode: Number(code) & 0xff, signal: null }) },
  echo: { run: print("stdout") },
  stderr: { run: print("stderr") },
  cat: {
    run: async (io) => {
      for await (const bytes of io.stdin) await io.write("stdout", bytes);
      return success;
    },
  },
  sleep: {
    run: async (io, [ms = "0"]) => {
      await sleep(Number(ms), io.stopped).catch(() => undefined);
      return success;
    },
  },
  yes: { run: (io) => writeAll(io, endless(text.encode("y\n".repeat(blockBytes / 2)))) },
  bytes: { run: (io, [count = "0", seed = "1"]) => writeAll(io, pseudoRandom(Number(count), Number(seed))) },
  /** Says `ready` once signals have no effect */
  hang: {
    stubborn: true,
    run: async (io) => {
      await io.write("stdout", text.encode("ready\n"));
      return await never;
    },
  },
  oom: {
    run: (io) => {
      io.runOutOfMemory();
      return { exitCode: null, signal: "SIGKILL" };
    },
  },
  /** `write PATH TEXT…` keeps a file */
  write: {
    run: async (io, [path = "", ...words]) => {
      await io.files.put(path, text.encode(words.join(" ")));
      return success;
    },
  },
  /** `read PATH` prints a file */
  read: {
    run: async (io, [path = ""]) => {
      for await (const bytes of io.files.get(path, Number.MAX_SAFE_INTEGER)) await io.write("stdout", bytes);
      return success;
    },
  },
};
