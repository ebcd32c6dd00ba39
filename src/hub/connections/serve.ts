import type { HubChannel } from "../../channel/index.ts";
import { SallyportError } from "../../errors.ts";
import type { WorkerMessage } from "../../protocol/index.ts";
import { takeArtifact, type ArtifactStream } from "./artifact-intake.ts";
import type { HubContext } from "./context.ts";
import { handlers } from "./handlers/index.ts";
import type { Message } from "./handlers/handler.ts";
import { handshake } from "./handshake.ts";
import { takeOutput, type OutputStream } from "./output-intake.ts";
import { isStoreTrouble } from "./persist.ts";
import { checkLegal, checkStreamLegal, type Phase } from "./phase.ts";
import type { WorkerConnection } from "./worker-connection.ts";

/** how long a worker may take for its `hello`, `ms` */
const helloMs = 10_000;

type Stream = Parameters<Parameters<HubChannel["listen"]>[0]["stream"]>[0];

/** Serves one channel from its first message until it is over. */
export async function serveWorker(context: HubContext, channel: HubChannel): Promise<void> {
  const server = new ConnectionServer(context, channel);
  channel.listen({
    message: (message) => server.message(message),
    stream: (stream) => server.stream(stream),
  });
  await server.over();
}

class ConnectionServer {
  readonly #context: HubContext;
  readonly #channel: HubChannel;
  readonly #helloTimer: NodeJS.Timeout;
  #phase: Phase = "new";
  #isOver = false;
  #connection: WorkerConnection | undefined;

  constructor(context: HubContext, channel: HubChannel) {
    this.#context = context;
    this.#channel = channel;
    const late = new SallyportError("deadline_exceeded", `no hello within ${helloMs} ms`);
    this.#helloTimer = setTimeout(() => void channel.close(late), helloMs);
  }

  message(message: WorkerMessage): void {
    checkLegal(message.type, this.#currentPhase);
    this.#connection?.seen();
    this.#context.tasks.start(`message ${message.type}`, () => this.#answer(message));
  }

  stream(stream: Stream): void {
    checkStreamLegal(stream.meta.kind, this.#currentPhase);
    const connection = this.#connection;
    if (connection === undefined) return;
    connection.seen();
    this.#context.tasks.start(`stream ${stream.meta.kind}`, () => take(this.#context, connection, stream));
  }

  /** Resolves when the channel is over and the connection is taken off the registry. */
  async over(): Promise<void> {
    const reason = await this.#channel.closed;
    clearTimeout(this.#helloTimer);
    this.#isOver = true;
    const connection = this.#connection;
    if (connection === undefined) return;
    await leave(this.#context, connection, reason);
  }

  get #currentPhase(): Phase {
    return this.#connection?.phase ?? this.#phase;
  }

  async #answer(message: WorkerMessage): Promise<void> {
    try {
      if (message.type === "hello") await this.#greet(message);
      else if (this.#connection !== undefined) await answer(this.#context, this.#connection, message);
    } catch (error) {
      if (isStoreTrouble(error) && message.type !== "hello") throw error;
      const reason = SallyportError.from(error);
      if (reason.code === "internal")
        this.#context.log.error({ err: error, type: message.type }, "message handler failed");
      await this.#channel.close(reason);
    }
  }

  async #greet(hello: Message<"hello">): Promise<void> {
    clearTimeout(this.#helloTimer);
    this.#phase = "handshaking";
    const connection = await handshake(this.#context, this.#channel, hello);
    if (this.#isOver) {
      connection.closed(new SallyportError("channel_closed", "the worker left before it was welcomed"));
      return;
    }
    this.#connection = connection;
    join(this.#context, connection);
  }
}

/** From here on the worker may be offered jobs. An earlier connection of the same worker ends. */
function join(context: HubContext, connection: WorkerConnection): void {
  const { hello, workerId } = connection;
  connection.enter("ready");
  const earlier = context.registry.add(connection);
  if (earlier !== undefined) {
    context.metrics.reconnects.inc({
      cause: earlier.hello.bootId === hello.bootId ? "replaced" : "restarted",
    });
    void earlier.channel.close(
      new SallyportError("channel_closed", `replaced by a later connection of worker ${workerId}`),
    );
  }
  const { version, capacity } = hello;
  connection.log.info({ version, slots: capacity.slots, held: connection.held.size }, "worker connected");
  for (const jobId of connection.held.keys()) context.live.touch(jobId);
  context.wake.because("worker ready");
}

/** What the worker holds stays its own until the lease is over; only one that drained gives its session back. */
async function leave(
  context: HubContext,
  connection: WorkerConnection,
  reason: SallyportError,
): Promise<void> {
  const drained = connection.phase === "draining" && connection.held.size === 0;
  connection.closed(reason);
  const current = context.registry.get(connection.workerId) === connection;
  context.registry.remove(connection);
  connection.log.info({ code: reason.code, reason: reason.message, drained }, "worker disconnected");
  if (drained && current) await context.store.leases.closeSession(connection.sessionId, Date.now());
}

/** The table gives each message its own handler; the compiler cannot see that both come from the same `type`. */
async function answer(
  context: HubContext,
  connection: WorkerConnection,
  message: Exclude<WorkerMessage, { type: "hello" }>,
): Promise<void> {
  const handler = handlers[message.type] as (
    context: HubContext,
    connection: WorkerConnection,
    message: WorkerMessage,
  ) => Promise<void> | void;
  await handler(context, connection, message);
}

async function take(context: HubContext, connection: WorkerConnection, stream: Stream): Promise<void> {
  if (stream.meta.kind === "output") await takeOutput(context, connection, stream as OutputStream);
  else await takeArtifact(context, connection, stream as ArtifactStream);
}
