/** Channels that carry notes, and what listens at their ends. */
import { Notifier } from "../../src/async/index.ts";
import type { Channel, Dialect, IncomingStream } from "../../src/channel/index.ts";
import { SallyportError } from "../../src/errors.ts";
import { soon } from "./channel-checks.ts";
import { memoryEnds, wsEnds } from "./channel-ends.ts";

export interface Note {
  type: "note";
  n: number;
  pad?: string;
}
interface Meta {
  name: string;
}
export type NoteChannel = Channel<Note, Note, Meta, Meta>;

export interface Pair extends AsyncDisposable {
  /** the dialler */
  a: NoteChannel;
  b: NoteChannel;
}

const dialect: Dialect<Note, Meta> = {
  message(json) {
    const { type, n } = json as Note;
    if (type !== "note")
      throw new SallyportError("protocol_violation", `message: unknown type ${String(type)}`);
    return { type, n };
  },
  stream(json) {
    if (json === null) throw new SallyportError("protocol_violation", "stream.open: meta: missing");
    return { name: (json as Meta).name };
  },
};

export const memory = (): Promise<Pair> => memoryEnds(dialect, dialect);
export const overWs = (): Promise<Pair> => wsEnds(dialect, dialect);

export const gone = (message: string): SallyportError => new SallyportError("cancelled", message);

/** One side's listener: keeps what comes, answers a note below zero with its opposite. */
export class Ear {
  readonly notes: number[] = [];
  readonly streams: IncomingStream<Meta>[] = [];
  readonly #came = new Notifier();

  constructor(channel: NoteChannel) {
    channel.listen({
      message: (note) => {
        if (note.n < 0) channel.send({ type: "note", n: -note.n });
        else this.notes.push(note.n);
        this.#came.notify();
      },
      stream: (stream) => {
        this.streams.push(stream);
        this.#came.notify();
      },
    });
  }

  async until(holds: (ear: Ear) => boolean, what: string): Promise<void> {
    for (let came = this.#came.wait(); !holds(this); came = this.#came.wait()) await soon(came, what);
  }

  async stream(at = 0): Promise<IncomingStream<Meta>> {
    await this.until((ear) => ear.streams.length > at, `stream ${at}`);
    return this.streams[at] as IncomingStream<Meta>;
  }
}

/** Both sides listen. `settled` resolves once all that was sent before has been taken, and proves the channel alive. */
export function listening(pair: Pair): { nearEar: Ear; farEar: Ear; settled: () => Promise<void> } {
  const [nearEar, farEar] = [new Ear(pair.a), new Ear(pair.b)];
  let turns = 1_000_000;
  const settled = async (): Promise<void> => {
    turns += 2;
    const [there, back] = [turns, turns + 1];
    pair.a.send({ type: "note", n: -there });
    await nearEar.until((ear) => ear.notes.includes(there), "an answer");
    pair.b.send({ type: "note", n: -back });
    await farEar.until((ear) => ear.notes.includes(back), "an answer");
  };
  return { nearEar, farEar, settled };
}

export async function readAll(stream: IncomingStream<Meta>, grants = true): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream.chunks) {
    chunks.push(chunk);
    if (grants) stream.grant(chunk.length);
  }
  return Buffer.concat(chunks);
}
