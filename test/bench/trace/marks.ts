/** Points in time inside a running hub and worker, taken from outside: by standing between their parts, with no hook in the product. */

export interface Mark {
  name: string;
  /** monotonic ns of the host, the same in every process */
  at: number;
}

export type Note = (name: string) => void;

export function monotonicNs(): number {
  return Number(process.hrtime.bigint());
}

/** What is called on a part, and what to do around it: `before` sees the arguments, `after` what came of them. */
export interface Around {
  /** may give other arguments */
  before?: (args: unknown[]) => unknown[] | void;
  after?: (value: unknown) => unknown;
}

/** `target` with some of its methods watched; everything else of it as it is. */
export function watched<T extends object>(target: T, around: Readonly<Record<string, Around>>): T {
  return new Proxy(target, {
    get(object, key) {
      const member: unknown = Reflect.get(object, key, object);
      const watch = typeof key === "string" ? around[key] : undefined;
      if (typeof member !== "function") return watch?.after === undefined ? member : watch.after(member);
      return (...args: unknown[]): unknown => {
        const given = watch?.before?.(args) ?? args;
        const value: unknown = Reflect.apply(member, object, given);
        return watch?.after === undefined ? value : watch.after(value);
      };
    },
  });
}

/** Notes the call, and the moment its promise settles. */
export function timedCall(note: Note, name: string): Around {
  return {
    before: () => note(`${name} asked`),
    after: (value) => {
      if (value instanceof Promise) value.then(() => note(`${name} done`)).catch(() => undefined);
      return value;
    },
  };
}
