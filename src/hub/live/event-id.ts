/** Where a reader of a job's events stands: what an SSE `id` says, and what `Last-Event-ID` brings back. */
import { SallyportError } from "../../errors.ts";

export interface EventPlace {
  /** 0 before the first attempt */
  attempt: number;
  /** of the attempt's grant: an attempt that was told of but never recorded leaves its number to the next */
  epoch: number;
  /** in the attempt's log; 0 once the attempt is told of */
  position: number;
  /** behind `finished` */
  ended: boolean;
}

export function formatEventId(place: EventPlace): string {
  return `${place.attempt}.${place.epoch}:${place.position}${place.ended ? ":end" : ""}`;
}

/** Throws `request_invalid`. */
export function parseEventId(text: string): EventPlace {
  const match = /^(\d{1,9})\.(\d{1,9}):(\d{1,15})(:end)?$/.exec(text);
  if (match === null) {
    throw new SallyportError(
      "request_invalid",
      `lastEventId: ${JSON.stringify(text.slice(0, 64))} is no event id`,
      {
        details: { field: "lastEventId", fix: "send the id of an event of this job, or nothing" },
      },
    );
  }
  const [attempt, epoch, position] = [Number(match[1]), Number(match[2]), Number(match[3])];
  return { attempt, epoch, position, ended: match[4] !== undefined };
}
