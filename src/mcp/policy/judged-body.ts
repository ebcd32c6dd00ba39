/** The body of a POST, read as a whole before anything of it is passed on. */
import { abortable, withDeadline } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import {
  collect,
  collectInRoom,
  wholeLength,
  type ByteRoom,
  type HttpRequest,
} from "../../exchange/index.ts";

/** bytes of one POST */
const bodyLimit = 4 * 2 ** 20;
/** A caller has this long to send it; `ms` */
const bodyMs = 60_000;

/** Leaves its room when it is disposed. */
export interface JudgedBody extends Disposable {
  readonly bytes: Buffer;
}

/** Throws `body_too_large`, `deadline_exceeded`, and the signal's reason. */
export async function judgedBody(
  room: ByteRoom,
  { body }: HttpRequest,
  signal: AbortSignal,
): Promise<JudgedBody> {
  if (body === null) return { bytes: Buffer.alloc(0), [Symbol.dispose]: () => undefined };
  using places = new DisposableStack();
  const { bytes, whole } =
    wholeLength(body) === null
      ? await inTime(collectInRoom(body, { limit: bodyLimit, enter }), signal)
      : await collect(body, bodyLimit);
  if (!whole) throw tooLarge();
  const held = places.move();
  return { bytes, [Symbol.dispose]: () => held.dispose() };

  async function enter(length: number): Promise<void> {
    const place = await room.enter(length, signal);
    // its time may be over meanwhile
    if (places.disposed) place[Symbol.dispose]();
    else places.use(place);
  }
}

/** Whoever sends half a body and waits holds a connection, and room, all the way to here. */
export async function inTime<T>(sending: Promise<T>, signal: AbortSignal): Promise<T> {
  return await withDeadline(abortable(sending, signal), bodyMs, "sending the body");
}

function tooLarge(): SallyportError {
  return new SallyportError("body_too_large", `a body of more than ${bodyLimit} bytes cannot be judged`, {
    details: { layer: "policy", sent: false, limit: bodyLimit },
  });
}
