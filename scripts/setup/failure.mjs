/** A set-up step that cannot go on, and what the reader can do about it. */
export class SetupFailure extends Error {
  /**
   * @param {string} message what went wrong
   * @param {{ fix?: string, output?: string, cause?: unknown }} [options] `output` is the end of what a program printed
   */
  constructor(message, options = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "SetupFailure";
    this.fix = options.fix;
    this.output = options.output;
  }
}
