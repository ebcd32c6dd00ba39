import type { Allotment, WaitingPool } from "./match.ts";

/**
 * Whose turn it is among pools. Under load slots come free one by one: were each the longest waiting pool's, a long queue for one profile
 * would keep all others waiting until it is as young as they are.
 */
export class PoolTurns {
  /** whose turn is next comes first */
  #order: readonly string[] = [];

  /** `pools` in the order of their turns. Who was not there before comes last, the longest waiting of them first. */
  inOrder<Pool extends Pick<WaitingPool, "pool" | "oldestAt">>(pools: readonly Pool[]): Pool[] {
    const places = new Map(this.#order.map((pool, at) => [pool, at]));
    const placeOf = ({ pool }: Pool): number => places.get(pool) ?? places.size;
    const ordered = pools.toSorted((a, b) => placeOf(a) - placeOf(b) || a.oldestAt - b.oldestAt);
    this.#order = ordered.map(({ pool }) => pool);
    return ordered;
  }

  /** Who was given something comes behind all others. */
  given(allotments: readonly Pick<Allotment, "pool">[]): void {
    const served = new Set(allotments.map(({ pool }) => pool));
    const isServed = (pool: string): boolean => served.has(pool);
    this.#order = [...this.#order.filter((pool) => !isServed(pool)), ...this.#order.filter(isServed)];
  }
}
