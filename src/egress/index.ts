export type { Attachment, Gateway, Grant, LoopbackListener, Subject } from "./contract.ts";
