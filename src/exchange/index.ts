/** HTTP/1.1 at both ends, with Node's own parser, over any byte stream. */
export {
  layers,
  type Forward,
  type HeaderList,
  type HttpRequest,
  type HttpResponse,
  type Layer,
} from "./contract.ts";
export { parseAuthority, type Authority } from "./authority.ts";
export { bytesBody, pump, takeWhole, wholeLength } from "./body.ts";
export { ByteRoom } from "./byte-room.ts";
export { collect, collectInRoom, type Collected } from "./collect.ts";
export { createHttpClient, type HttpClient, type HttpClientOptions } from "./client.ts";
export { createHttpFace, type HttpFace } from "./face.ts";
export type { FaceDeps, FaceOptions } from "./face-options.ts";
export { failureResponse, layerOf, unlessFailure } from "./failure.ts";
export { headerOf, withHeader, withoutHeaders } from "./headers.ts";
export { GatheredRequest } from "./gathered-request.ts";
export { Gathering } from "./gathering.ts";
export type { FaceRequest } from "./request.ts";
