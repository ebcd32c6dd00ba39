import { abortable, deferred } from "../async/index.ts";
import type { ChannelHandlers, WorkerChannel } from "../channel/index.ts";
import { SallyportError } from "../errors.ts";
import { protocolVersions, type HubMessage, type HubStream, type WorkerMessage } from "../protocol/index.ts";

/** What each kind of caller says first, and is answered with. */
export interface Greetings {
  worker: {
    hello: Extract<WorkerMessage, { type: "hello" }>;
    welcome: Extract<HubMessage, { type: "welcome" }>;
  };
  connector: {
    hello: Extract<WorkerMessage, { type: "connector.hello" }>;
    welcome: Extract<HubMessage, { type: "connector.welcome" }>;
  };
}
export type Party = keyof Greetings;
export type HubHandlers = ChannelHandlers<HubMessage, HubStream>;

const welcomes = { hello: "welcome", "connector.hello": "connector.welcome" } as const;

/**
 * Says `hello` and waits for its welcome. `adopt` is called with it in the turn it arrives and returns who listens from then on,
 * so nothing that follows is missed. Throws `protocol_violation`, `protocol_unsupported`, what closed the channel, or the signal's reason.
 */
export async function handshake<P extends Party>(
  channel: WorkerChannel,
  hello: Greetings[P]["hello"],
  adopt: (welcome: Greetings[P]["welcome"]) => HubHandlers,
  signal: AbortSignal,
): Promise<void> {
  const welcomed = deferred<void>();
  let handlers: HubHandlers | undefined;
  channel.listen({
    message(message) {
      if (handlers !== undefined) return handlers.message(message);
      const welcome = check(message, welcomes[hello.type]);
      if (signal.aborted) return undefined;
      handlers = adopt(welcome);
      welcomed.resolve();
      return undefined;
    },
    stream(stream) {
      if (handlers === undefined)
        throw new SallyportError("protocol_violation", `a stream came before the welcome`);
      handlers.stream(stream);
    },
  });
  void channel.closed.then((reason) => welcomed.reject(reason));
  channel.send(hello);
  await abortable(welcomed.promise, signal);
}

function check<T extends "welcome" | "connector.welcome">(
  message: HubMessage,
  wanted: T,
): Extract<HubMessage, { type: T }> {
  if (!isA(message, wanted))
    throw new SallyportError("protocol_violation", `${message.type} came before the welcome`);
  const { protocol } = message as { protocol: number };
  if (protocol < protocolVersions.min || protocol > protocolVersions.max) {
    throw new SallyportError(
      "protocol_unsupported",
      `the hub chose protocol ${protocol}, this side speaks ${protocolVersions.min} to ${protocolVersions.max}`,
    );
  }
  return message;
}

function isA<T extends HubMessage["type"]>(
  message: HubMessage,
  type: T,
): message is Extract<HubMessage, { type: T }> {
  return message.type === type;
}
