/** What any channel promises, run over memory and over a real WebSocket on loopback. */
import { suite } from "node:test";
import { memory, overWs } from "../helpers/note-channel.ts";
import { channelClosing } from "./channel-closing.suite.ts";
import { channelStreams } from "./channel-streams.suite.ts";

for (const [name, connect] of [
  ["memory", memory],
  ["ws", overWs],
] as const) {
  suite(`channel over ${name}`, () => {
    channelStreams(connect);
    channelClosing(connect);
  });
}
