export type { Channel, ChannelHandlers, Dialect, IncomingStream, OutgoingStream } from "./contract.ts";
export { dialChannel, type DialOptions } from "./dial.ts";
export { ChannelAcceptor, type ChannelAcceptorDeps, type ChannelAcceptorOptions } from "./accept.ts";
export { memoryChannelPair, type MemoryLink, type MemoryPair, type MemoryPairOptions } from "./memory.ts";
export { hubDialect, workerDialect, type HubChannel, type WorkerChannel } from "./dialects.ts";
export { defaultKeepalive, type KeepaliveOptions } from "./keepalive.ts";
export { ByteStreams, givenUp, reasonOf, Taken, type ByteChannel, type BytePair } from "./byte-streams.ts";
export { byteDuplex } from "./byte-duplex.ts";
export { acceptByteStreams, type ByteStreamOptions } from "./web-sockets.ts";
