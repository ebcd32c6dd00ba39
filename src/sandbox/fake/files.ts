/** The files of a fake sandbox, in a map by absolute path. */
import { posix } from "node:path";
import { SallyportError } from "../../errors.ts";
import type { FileStat, GuestFiles } from "../contract.ts";

interface Entry {
  type: "file" | "directory";
  bytes: Uint8Array;
  mode: number;
  mtime: number;
}

const roots = ["/workspace", "/tmp", "/run/sallyport"];

export class FakeFiles implements GuestFiles {
  readonly #entries = new Map<string, Entry>();

  async put(path: string, content: Uint8Array | AsyncIterable<Uint8Array>, mode = 0o644): Promise<void> {
    const full = resolve(path);
    const bytes = content instanceof Uint8Array ? content.slice() : await concat(content);
    if (this.#entry(full)?.type === "directory") throw refused(path, "it is a folder");
    await this.mkdir(posix.dirname(full));
    this.#entries.set(full, { type: "file", bytes, mode, mtime: Date.now() });
  }

  async *get(path: string, maxBytes: number): AsyncGenerator<Uint8Array, void, undefined> {
    const entry = this.#existing(path);
    if (entry.type !== "file") throw refused(path, "it is not a regular file");
    if (entry.bytes.length > maxBytes) {
      throw new SallyportError("capacity_exhausted", `${path}: the file is larger than ${maxBytes} bytes`, {
        details: { path },
      });
    }
    yield entry.bytes;
  }

  async stat(path: string): Promise<FileStat> {
    return describe(resolve(path), this.#existing(path));
  }

  async list(path: string): Promise<FileStat[]> {
    const full = resolve(path);
    if (this.#existing(path).type !== "directory") throw refused(path, "it is not a folder");
    return [...this.#entries]
      .filter(([name]) => posix.dirname(name) === full)
      .map(([name, entry]) => describe(name, entry));
  }

  async mkdir(path: string): Promise<void> {
    const full = resolve(path);
    if (this.#entry(full)?.type === "directory") return;
    if (this.#entry(full) !== undefined) throw refused(path, "a file is in the way");
    await this.mkdir(posix.dirname(full));
    this.#entries.set(full, {
      type: "directory",
      bytes: new Uint8Array(),
      mode: 0o755,
      mtime: Date.now(),
    });
  }

  async remove(path: string): Promise<void> {
    this.#existing(path);
    for (const name of this.#tree(resolve(path))) this.#entries.delete(name);
  }

  async rename(from: string, to: string): Promise<void> {
    this.#existing(from);
    const [source, target] = [resolve(from), resolve(to)];
    if (`${target}/`.startsWith(`${source}/`)) throw refused(to, "it is inside what is moved");
    this.#existing(posix.dirname(target));
    for (const name of this.#tree(source)) {
      const entry = this.#entries.get(name);
      this.#entries.delete(name);
      if (entry !== undefined) this.#entries.set(target + name.slice(source.length), entry);
    }
  }

  #entry(full: string): Entry | undefined {
    if (!roots.includes(full)) return this.#entries.get(full);
    return { type: "directory", bytes: new Uint8Array(), mode: 0o755, mtime: 0 };
  }

  #existing(path: string): Entry {
    const entry = this.#entry(resolve(path));
    if (entry !== undefined) return entry;
    throw new SallyportError("file_unknown", `${path}: no such file`, { details: { path } });
  }

  #tree(full: string): string[] {
    return [...this.#entries.keys()].filter((name) => name === full || name.startsWith(`${full}/`));
  }
}

function resolve(path: string): string {
  const full = posix.resolve("/workspace", path);
  if (!path.includes("\0") && roots.some((root) => full === root || full.startsWith(`${root}/`))) return full;
  throw refused(path, "it is outside the writable folders");
}

function refused(path: string, reason: string): SallyportError {
  return new SallyportError("file_refused", `${path}: ${reason}`, { details: { path } });
}

function describe(path: string, entry: Entry): FileStat {
  return { path, type: entry.type, size: entry.bytes.length, mode: entry.mode, mtime: entry.mtime };
}

async function concat(content: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const blocks: Uint8Array[] = [];
  for await (const block of content) blocks.push(block.slice());
  return Buffer.concat(blocks);
}
