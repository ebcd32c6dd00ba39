import type { FileStat, GuestFiles } from "../contract.ts";
import { hostFrames, violation } from "./codec.ts";
import type { GuestConnection } from "./connection.ts";
import { downloadWindow, FileCall, type FileQuestion } from "./file-call.ts";
import { encodePath, readAnswer, readEntries, readNothing, u32, u64 } from "./messages.ts";

const maxEntries = 10_000;

/** File calls over one conversation. */
export class RemoteFiles implements GuestFiles {
  readonly #connection: GuestConnection;

  constructor(connection: GuestConnection) {
    this.#connection = connection;
  }

  async put(path: string, content: Uint8Array | AsyncIterable<Uint8Array>, mode = 0o644): Promise<void> {
    const payload = Buffer.concat([u32(mode & 0o777), encodePath(path)]);
    const call = this.#ask({ type: hostFrames.put, path, payload, decode: readNothing, sends: true });
    try {
      if (content instanceof Uint8Array) await call.upload.send(content);
      else await sendAll(content, call);
    } catch (error) {
      call.cancel();
      await call.answer.catch(() => undefined);
      throw error;
    }
    call.upload.end();
    await call.answer;
  }

  async *get(path: string, maxBytes: number): AsyncGenerator<Uint8Array> {
    let left = Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, Math.trunc(maxBytes)));
    const payload = Buffer.concat([u64(left), u32(downloadWindow), encodePath(path)]);
    const accept = (bytes: Buffer): void => {
      left -= bytes.length;
      if (left < 0) throw violation("a file larger than was asked for");
    };
    yield* this.#download({ type: hostFrames.get, path, payload, decode: readNothing, accept });
  }

  async stat(path: string): Promise<FileStat> {
    const decode = (answer: Buffer): FileStat => readAnswer(answer, path);
    return await this.#ask({ type: hostFrames.stat, path, payload: encodePath(path), decode }).answer;
  }

  async list(path: string): Promise<FileStat[]> {
    const payload = Buffer.concat([u32(downloadWindow), encodePath(path)]);
    const entries: FileStat[] = [];
    const accept = (bytes: Buffer): void => {
      entries.push(...readEntries(bytes, path));
      if (entries.length > maxEntries) throw violation("more entries than a listing may have");
    };
    const question = { type: hostFrames.list, path, payload, decode: readNothing, accept };
    // Every entry was read on its way in; going through the bytes is what gives the guest more credit.
    await Array.fromAsync(this.#download(question), () => undefined);
    return entries.sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  async mkdir(path: string): Promise<void> {
    await this.#change(hostFrames.mkdir, path, encodePath(path));
  }

  async remove(path: string): Promise<void> {
    await this.#change(hostFrames.remove, path, encodePath(path));
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#change(hostFrames.rename, from, Buffer.concat([encodePath(from), encodePath(to)]));
  }

  #ask<T>(question: FileQuestion<T>): FileCall<T> {
    return new FileCall(this.#connection, question);
  }

  async #change(type: number, path: string, payload: Buffer): Promise<void> {
    await this.#ask({ type, path, payload, decode: readNothing }).answer;
  }

  /** Bytes of a call as they come; a consumer that stops early cancels it. */
  async *#download(question: FileQuestion<void>): AsyncGenerator<Uint8Array> {
    const call = this.#ask(question);
    try {
      for await (const chunk of call.download) yield chunk.bytes;
    } finally {
      call.cancel();
    }
  }
}

/** Sends what `content` gives, and stops waiting for it once the guest has refused the file. */
async function sendAll(content: AsyncIterable<Uint8Array>, call: FileCall<void>): Promise<void> {
  const source = content[Symbol.asyncIterator]();
  let refuse: (error: unknown) => void = () => undefined;
  call.answer.catch((error: unknown) => refuse(error));
  // A race against the answer would leave a trace on it with every chunk.
  const next = (): Promise<IteratorResult<Uint8Array>> =>
    new Promise((resolve, reject) => {
      refuse = reject;
      source.next().then(resolve, reject);
    });
  try {
    for (let chunk = await next(); chunk.done !== true; chunk = await next())
      await call.upload.send(chunk.value);
  } catch (error) {
    source.return?.().catch(() => undefined);
    throw error;
  }
}
