import { abortable, deferred } from "../async/index.ts";
import { SallyportError } from "../errors.ts";
import { protocolVersions, type HubMessage, type HubStream, type WorkerMessage } from "../protocol/index.ts";
import type { ChannelHandlers } from "../channel/index.ts";
import type { WorkerChannel } from "../channel/index.ts";

export type Hello = Extract<WorkerMessage, { type: "hello" }>;
export type Welcome = Extract<HubMessage, { type: "welcome" }>;
export type HubHandlers = ChannelHandlers<HubMessage, HubStream>;

/**
 * Says `hello` and waits for the `welcome`. `adopt` is called with it in the turn it arrives and returns who listens from then on,
 * so nothing that follows is missed. Throws `protocol_violation`, `protocol_unsupported`, what closed the channel, or the signal's reason.
 */
export async function handshake(
  channel: WorkerChannel,
  hello: Hello,
  adopt: (welcome: Welcome) => HubHandlers,
  signal: AbortSignal,
): Promise<void> {
  const welcomed = deferred<void>();
  let handlers: HubHandlers | undefined;
  channel.listen({
    message(message) {
      if (handlers !== undefined) {
        handlers.message(message);
        return;
      }
      const welcome = check(message);
      if (signal.aborted) return;
      handlers = adopt(welcome);
      welcomed.resolve();
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

function check(message: HubMessage): Welcome {
  if (message.type !== "welcome")
    throw new SallyportError("protocol_violation", `${message.type} came before the welcome`);
  if (message.protocol < protocolVersions.min || message.protocol > protocolVersions.max) {
    throw new SallyportError(
      "protocol_unsupported",
      `the hub chose protocol ${message.protocol}, this worker speaks ${protocolVersions.min} to ${protocolVersions.max}`,
    );
  }
  return message;
}
