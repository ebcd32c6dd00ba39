import type { HubChannel } from "../../channel/index.ts";
import { SallyportError } from "../../errors.ts";
import type { WorkerMessage } from "../../protocol/index.ts";
import { requireScope } from "../auth/gate.ts";
import type { Identity } from "../auth/keys.ts";
import { takeBack } from "../dispatch/offer.ts";
import { ConnectorServer } from "../tunnel/connector-server.ts";
import { isReply, isTunnel } from "../tunnel/offerer.ts";
import { relay } from "../tunnel/relay.ts";
import { takeArtifact, type ArtifactStream } from "./artifact-intake.ts";
import type { HubContext } from "./context.ts";
import { handlers } from "./handlers/index.ts";
import type { Message } from "./handlers/handler.ts";
import { handshake } from "./handshake.ts";
import { takeOutput, type OutputStream } from "./output-intake.ts";
import { isStoreTrouble } from "./persist.ts";
import { checkLegal, checkStreamLegal, type Phase } from "./phase.ts";
import type { WorkerConnection } from "./worker-connection.ts";

/** how long a caller may take for its hello, `ms` */
const helloMs = 10_000;

type Stream = Parameters<Parameters<HubChannel["listen"]>[0]["stream"]>[0];

/** Whoever a channel turned out to belong to. */
interface Served {
  /** Settles once the message is dealt with. */
  message(message: WorkerMessage): Promise<void> | void;
  stream(stream: Stream): void;
  /** The channel is over: nothing of it is left behind once this resolves. */
  over(reason: SallyportError): Promise<void> | void;
}

/** Serves one channel from its first message, which tells a worker from a connector, until it is over. */
export async function serveChannel(
  context: HubContext,
  channel: HubChannel,
  identity: Identity,
): Promise<void> {
  let served: Served | undefined;
  const late = new SallyportError("deadline_exceeded", `no hello within ${helloMs} ms`);
  const helloTimer = setTimeout(() => void channel.close(late), helloMs);
  channel.listen({
    message(message) {
      if ("routes" in message && message.routes.length > 0) requireScope(identity, "connector");
      if (served !== undefined) return served.message(message);
      clearTimeout(helloTimer);
      if (message.type === "connector.hello") {
        requireScope(identity, "connector");
        served = new ConnectorServer(context, channel, message);
        return undefined;
      }
      requireScope(identity, "worker");
      served = new ConnectionServer(context, channel);
      return served.message(message);
    },
    stream(stream) {
      if (served === undefined) checkStreamLegal(stream.meta.kind, "new");
      served?.stream(stream);
    },
  });
  const reason = await channel.closed;
  clearTimeout(helloTimer);
  await served?.over(reason);
}

class ConnectionServer implements Served {
  readonly #context: HubContext;
  readonly #channel: HubChannel;
  #phase: Phase = "new";
  #isOver = false;
  #connection: WorkerConnection | undefined;

  constructor(context: HubContext, channel: HubChannel) {
    this.#context = context;
    this.#channel = channel;
  }

  message(message: WorkerMessage): Promise<void> {
    checkLegal(message.type, this.#currentPhase);
    this.#connection?.seen();
    const answered = this.#answer(message);
    this.#context.tasks.start(`message ${message.type}`, () => answered);
    return answered;
  }

  stream(stream: Stream): void {
    checkStreamLegal(stream.meta.kind, this.#currentPhase);
    const connection = this.#connection;
    if (connection === undefined) return;
    connection.seen();
    if (isReply(stream)) {
      connection.offerer.replied(stream);
      return;
    }
    this.#context.tasks.start(`stream ${stream.meta.kind}`, () => take(this.#context, connection, stream));
  }

  async over(reason: SallyportError): Promise<void> {
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
      else if (this.#connection !== undefined && message.type !== "connector.hello")
        await answer(this.#context, this.#connection, message);
    } catch (error) {
      if (isStoreTrouble(error) && message.type !== "hello") throw error;
      const reason = SallyportError.from(error);
      if (reason.code === "internal")
        this.#context.log.error({ err: error, type: message.type }, "message handler failed");
      await this.#channel.close(reason);
    }
  }

  async #greet(hello: Message<"hello">): Promise<void> {
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
    context.tunnel.leave(earlier.offerer);
    context.metrics.reconnects.inc({
      cause: earlier.hello.bootId === hello.bootId ? "replaced" : "restarted",
    });
    void earlier.channel.close(
      new SallyportError("channel_closed", `replaced by a later connection of worker ${workerId}`),
    );
  }
  context.tunnel.join(connection.offerer, hello.routes);
  const routes = context.tunnel.routes.known();
  if (routes.length > 0) connection.channel.send({ type: "routes", routes });
  const { version, capacity } = hello;
  connection.log.info({ version, slots: capacity.slots, held: connection.held.size }, "worker connected");
  for (const jobId of connection.held.keys()) context.live.touch(jobId);
  context.wake.because("worker ready");
}

/**
 * What the worker holds stays its own until the lease is over; only one that drained gives its session back. Whose acceptance was
 * never heard nothing ran of, so such an offer goes to somebody else at once.
 */
async function leave(
  context: HubContext,
  connection: WorkerConnection,
  reason: SallyportError,
): Promise<void> {
  const drained = connection.phase === "draining" && connection.held.size === 0;
  const unanswered = connection.closed(reason);
  context.tunnel.leave(connection.offerer);
  const current = context.registry.get(connection.workerId) === connection;
  context.registry.remove(connection);
  connection.log.info({ code: reason.code, reason: reason.message, drained }, "worker disconnected");
  await Promise.all([
    ...unanswered.map((pending) => takeBack(context, pending, "worker_left")),
    drained && current ? context.store.leases.closeSession(connection.sessionId, Date.now()) : undefined,
  ]);
}

/** The table gives each message its own handler; the compiler cannot see that both come from the same `type`. */
async function answer(
  context: HubContext,
  connection: WorkerConnection,
  message: Exclude<WorkerMessage, { type: "hello" | "connector.hello" }>,
): Promise<void> {
  const handler = handlers[message.type] as (
    context: HubContext,
    connection: WorkerConnection,
    message: WorkerMessage,
  ) => Promise<void> | void;
  await handler(context, connection, message);
}

async function take(context: HubContext, connection: WorkerConnection, stream: Stream): Promise<void> {
  if (isTunnel(stream)) await relay(context.tunnel, connection.offerer, stream);
  else if (stream.meta.kind === "output") await takeOutput(context, connection, stream as OutputStream);
  else await takeArtifact(context, connection, stream as ArtifactStream);
}
