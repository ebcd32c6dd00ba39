/** What tests of channels ask of a promise: that it settles in time, or with which error. */
import { withDeadline } from "../../src/async/index.ts";
import { isError, type ErrorCode } from "../../src/errors.ts";

export const soon = <T>(promise: Promise<T>, what: string): Promise<T> => withDeadline(promise, 10_000, what);
export const coded =
  (code: ErrorCode) =>
  (error: unknown): boolean =>
    isError(error, code);
