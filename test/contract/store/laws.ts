/** How a law is asked of an engine: on a store of its own, in one life or across several. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { LeaseRef } from "../../../src/protocol/index.ts";
import type { Store } from "../../../src/store/index.ts";
import {
  attemptOutcome,
  logPart,
  type OpenOptions,
  type StoreEngine,
  type StoreHome,
} from "../../helpers/store.ts";

export interface Laws {
  engine: StoreEngine;
  promise(this: void, name: string, body: (store: Store) => Promise<void>, options?: OpenOptions): void;
  acrossLives(this: void, name: string, body: (home: StoreHome) => Promise<void>): void;
}

export function lawsOf(engine: StoreEngine): Laws {
  return {
    engine,
    promise: (name, body, options) => {
      void test(name, async () => {
        await using home = await engine.home();
        await body(await home.open(options));
      });
    },
    acrossLives: (name, body) => {
      void test(name, async () => {
        await using home = await engine.home();
        await body(home);
      });
    },
  };
}

/** Whatever is said in the name of `lease` changes nothing. */
export async function assertSuperseded(store: Store, lease: LeaseRef): Promise<void> {
  const part = { path: "a", offset: 0, bytes: new Uint8Array(1), complete: true };
  assert.equal(await store.leases.accept(lease, 1), "superseded");
  assert.equal(await store.leases.started(lease, 1), "superseded");
  assert.equal(await store.log.append(lease, { from: 0, ...logPart(["stdout", "zz"]) }), "superseded");
  assert.equal(await store.log.putArtifact(lease, part), "superseded");
  assert.deepEqual(await store.leases.finish(lease, attemptOutcome(), 1), {
    fenced: "superseded",
    requeued: false,
    job: null,
  });
  assert.equal(await store.leases.release(lease, 2_000), "superseded");
}
