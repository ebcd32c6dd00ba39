import type { Store } from "../store/index.ts";

type Observe = (operation: string, ms: number) => void;

/** The same store, with the time of every operation told to `observe`. */
export function timedStore(store: Store, observe: Observe): Store {
  return {
    jobs: timed(store.jobs, "jobs", observe),
    leases: timed(store.leases, "leases", observe),
    log: timed(store.log, "log", observe),
    fleet: timed(store.fleet, "fleet", observe),
    ...(store.hubs !== undefined && { hubs: timed(store.hubs, "hubs", observe) }),
    check: () => store.check(),
    prune: (before) => store.prune(before),
    ...(store.onHint !== undefined && { onHint: store.onHint.bind(store) }),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

function timed<T extends object>(part: T, name: string, observe: Observe): T {
  const wrapped = new Map<PropertyKey, unknown>();
  return new Proxy(part, {
    get(target, key) {
      if (!wrapped.has(key)) wrapped.set(key, wrap(target, key, `${name}.${String(key)}`, observe));
      return wrapped.get(key);
    },
  });
}

function wrap(target: object, key: PropertyKey, operation: string, observe: Observe): unknown {
  const member: unknown = Reflect.get(target, key, target);
  if (typeof member !== "function") return member;
  return async (...args: unknown[]): Promise<unknown> => {
    const start = performance.now();
    try {
      return await Reflect.apply(member, target, args);
    } finally {
      observe(operation, performance.now() - start);
    }
  };
}
