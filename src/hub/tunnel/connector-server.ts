import type { HubChannel, IncomingStream } from "../../channel/index.ts";
import { SallyportError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { WorkerMessage, WorkerStream } from "../../protocol/index.ts";
import type { HubContext } from "../connections/context.ts";
import { negotiate } from "../connections/negotiate.ts";
import { isReply, isTunnel, Offerer } from "./offerer.ts";
import { relay } from "./relay.ts";

type Hello = Extract<WorkerMessage, { type: "connector.hello" }>;

/** One stand-alone connector, from its welcome until its channel is over. */
export class ConnectorServer {
  readonly #context: HubContext;
  readonly #offerer: Offerer;
  readonly #log: Log;

  /** Throws `protocol_unsupported`. */
  constructor(context: HubContext, channel: HubChannel, hello: Hello) {
    const protocol = negotiate(hello.protocol);
    const { tunnel, hubId, connectors } = context;
    this.#context = context;
    this.#offerer = new Offerer(channel, { id: hello.connectorId, kind: "connector" });
    this.#log = context.log.child({ connectorId: hello.connectorId });
    const earlier = connectors.get(hello.connectorId);
    connectors.set(hello.connectorId, this.#offerer);
    if (earlier !== undefined) replace(context, earlier);
    tunnel.join(this.#offerer, hello.routes);
    channel.send({ type: "connector.welcome", protocol, hubId, routes: tunnel.routes.known() });
    this.#log.info({ version: hello.version, routes: hello.routes.length }, "connector connected");
  }

  message(message: WorkerMessage): void {
    if (message.type === "routes") this.#context.tunnel.offer(this.#offerer, message.routes);
    else if (message.type === "draining") {
      this.#offerer.draining = true;
      this.#log.info({ held: message.held }, "connector drains");
    } else {
      throw new SallyportError("protocol_violation", `${message.type} is not a connector's to say`, {
        details: { type: message.type },
      });
    }
  }

  stream(stream: IncomingStream<WorkerStream>): void {
    if (isReply(stream)) this.#offerer.replied(stream);
    else if (isTunnel(stream)) {
      this.#context.tasks.start("tunnel", () => relay(this.#context.tunnel, this.#offerer, stream));
    } else {
      throw new SallyportError("protocol_violation", `${stream.meta.kind} is not a connector's to open`, {
        details: { kind: stream.meta.kind },
      });
    }
  }

  over(reason: SallyportError): void {
    const { connectors, tunnel } = this.#context;
    tunnel.leave(this.#offerer);
    if (connectors.get(this.#offerer.id) === this.#offerer) connectors.delete(this.#offerer.id);
    this.#log.info({ code: reason.code, reason: reason.message }, "connector disconnected");
  }
}

/** A connector that is back offers nothing on the channel it lost, even where this side has not noticed the loss yet. */
function replace({ tunnel }: HubContext, earlier: Offerer): void {
  tunnel.leave(earlier);
  void earlier.channel.close(
    new SallyportError("channel_closed", `replaced by a later connection of ${earlier.label}`),
  );
}
