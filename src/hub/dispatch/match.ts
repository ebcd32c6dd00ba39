/** Who gets what: a pure decision over what waits and who has room. */

/** What waits in one pool. */
export interface WaitingPool {
  pool: string;
  profile: string;
  /** labels a worker must carry */
  labels: Readonly<Record<string, string>>;
  queued: number;
  /** wall clock `ms` of the oldest one's submission */
  oldestAt: number;
}

/** What one worker has room for. */
export interface Room {
  workerId: string;
  labels: Readonly<Record<string, string>>;
  /** jobs it can be offered right now, offers in flight already taken off */
  slots: number;
  /** all the slots it has, free or not */
  totalSlots: number;
  /** bytes free for sandboxes */
  memory: number;
  /** profiles it can serve: bytes one sandbox takes, and how many wait warm */
  profiles: ReadonlyMap<string, { memory: number; warm: number }>;
}

/** `limit` jobs of `pool` are to be claimed for `workerId`. */
export interface Allotment {
  pool: string;
  profile: string;
  workerId: string;
  limit: number;
}

/**
 * Hands out free slots one by one, the pools in turn as they stand, so that no pool takes them all. Each goes to a
 * worker that has the labels, the profile, a slot and the memory: one with a warm sandbox before one without, then the least loaded.
 */
export function allot(pools: readonly WaitingPool[], rooms: readonly Room[]): Allotment[] {
  const ledgers = rooms.map(openLedger);
  const open = pools.map((pool) => ({
    pool,
    left: pool.queued,
    candidates: ledgers.filter((ledger) => suits(pool, ledger.room)),
  }));
  const granted = new Map<string, Allotment>();
  for (let progress = true; progress;) {
    progress = false;
    for (const turn of open) {
      const best = turn.left > 0 ? pickBest(turn.pool.profile, turn.candidates) : undefined;
      if (best === undefined) continue;
      take(best, turn.pool.profile);
      turn.left -= 1;
      progress = true;
      addTo(granted, turn.pool, best.room.workerId);
    }
  }
  return [...granted.values()];
}

/** Whether somebody still waits for one of these workers once `allotments` are given. */
export function leavesWaiting(
  pools: readonly WaitingPool[],
  rooms: readonly Room[],
  allotments: readonly Allotment[],
): boolean {
  return pools.some((pool) => {
    const given = allotments.reduce((sum, { pool: of, limit }) => (of === pool.pool ? sum + limit : sum), 0);
    return pool.queued > given && rooms.some((room) => suits(pool, room));
  });
}

interface Ledger {
  room: Room;
  slots: number;
  memory: number;
  warm: Map<string, number>;
}

function openLedger(room: Room): Ledger {
  const warm = new Map([...room.profiles].map(([name, profile]) => [name, profile.warm]));
  return { room, slots: room.slots, memory: room.memory, warm };
}

function suits(pool: WaitingPool, room: Room): boolean {
  if (!room.profiles.has(pool.profile)) return false;
  return Object.entries(pool.labels).every(([name, value]) => room.labels[name] === value);
}

function pickBest(profile: string, candidates: readonly Ledger[]): Ledger | undefined {
  let best: Ledger | undefined;
  for (const candidate of candidates) {
    if (!hasRoom(candidate, profile)) continue;
    if (best === undefined || isBetter(candidate, best, profile)) best = candidate;
  }
  return best;
}

/** A warm sandbox holds its memory already. */
function hasRoom(ledger: Ledger, profile: string): boolean {
  if (ledger.slots <= 0) return false;
  return isWarm(ledger, profile) || ledger.memory >= (ledger.room.profiles.get(profile)?.memory ?? Infinity);
}

function isWarm(ledger: Ledger, profile: string): boolean {
  return (ledger.warm.get(profile) ?? 0) > 0;
}

function isBetter(a: Ledger, b: Ledger, profile: string): boolean {
  const warmer = Number(isWarm(a, profile)) - Number(isWarm(b, profile));
  return warmer === 0 ? load(a) < load(b) : warmer > 0;
}

function load(ledger: Ledger): number {
  return ledger.room.totalSlots === 0 ? 1 : 1 - ledger.slots / ledger.room.totalSlots;
}

function take(ledger: Ledger, profile: string): void {
  ledger.slots -= 1;
  const warm = ledger.warm.get(profile) ?? 0;
  if (warm > 0) ledger.warm.set(profile, warm - 1);
  else ledger.memory -= ledger.room.profiles.get(profile)?.memory ?? 0;
}

function addTo(
  granted: Map<string, Allotment>,
  { pool, profile }: Pick<WaitingPool, "pool" | "profile">,
  workerId: string,
): void {
  const key = JSON.stringify([pool, workerId]);
  const allotment = granted.get(key);
  if (allotment === undefined) granted.set(key, { pool, profile, workerId, limit: 1 });
  else allotment.limit += 1;
}
