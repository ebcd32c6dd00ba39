/** Carries out a group of calls in one transaction, as if they came one by one. */
import type { Call, DirectCall, RowCall, Transaction } from "./calls.ts";
import { flush } from "./flush.ts";
import { load } from "./load.ts";
import { gather } from "./needs.ts";
import type { Rows } from "./rows.ts";
import { SallyportError } from "../../errors.ts";
import type { JobSpec } from "../../protocol/index.ts";
import { statement } from "./statement.ts";

export type Answer = { value: unknown } | { error: unknown };

export interface CarriedOut {
  /** one per call, in their order */
  answers: Answer[];
  /** Settles once the server has answered what was written last; it is all sent, so that a COMMIT may follow. */
  written: Promise<void>;
}

/** Throws what ends the transaction; a call that fails by itself changed nothing. */
export async function carryOut(
  transaction: Transaction,
  calls: readonly Call<unknown>[],
): Promise<CarriedOut> {
  const answers = new Map<Call<unknown>, Answer>();
  let written: Promise<void> = Promise.resolve();
  for (const run of runsOf(calls)) {
    await written;
    if (run.kind === "direct") {
      await transaction.begun;
      await makeInTurn(transaction, run.calls, answers);
    } else written = flush(transaction.connection, await decideTogether(transaction, run.calls, answers));
  }
  return {
    answers: calls.map((call) => answers.get(call) ?? { error: new Error("a call was left out") }),
    written,
  };
}

type Run = { kind: "rows"; calls: RowCall<unknown>[] } | { kind: "direct"; calls: DirectCall<unknown>[] };

/** Neighbours of one kind go together, except that a call looks anew at who waits behind one that may have changed what it hangs on. */
function runsOf(calls: readonly Call<unknown>[]): Run[] {
  const runs: Run[] = [];
  for (const call of calls) {
    const last = runs.at(-1);
    if (call.kind === "direct") {
      if (last?.kind === "direct") last.calls.push(call);
      else runs.push({ kind: "direct", calls: [call] });
    } else if (last?.kind === "rows" && !last.calls.some((before) => looksAnew(call, before))) {
      last.calls.push(call);
    } else runs.push({ kind: "rows", calls: [call] });
  }
  return runs;
}

/** A job that leaves in the group it came with was not there when the others of its tenant were looked at. */
function looksAnew({ needs }: RowCall<unknown>, before: RowCall<unknown>): boolean {
  if (needs.claim !== undefined) return before.requeues === true;
  return needs.leaver !== undefined && before.needs.newJob?.id === needs.leaver;
}

async function decideTogether(
  transaction: Transaction,
  calls: readonly RowCall<unknown>[],
  answers: Map<Call<unknown>, Answer>,
): Promise<Rows> {
  const rows = await load(transaction, gather(calls.map(({ needs }) => needs)));
  for (const call of calls) {
    try {
      answers.set(call, { value: call.decide(rows) });
    } catch (error) {
      answers.set(call, { error });
    }
  }
  await readSpecs(transaction, rows);
  return rows;
}

const readLargeSpecs = statement(
  "read_large_specs",
  "SELECT seq, spec FROM jobs WHERE seq = ANY ($1::bigint[])",
);

/** Of the jobs that were looked at, only those that were claimed bring a large spec into memory. */
async function readSpecs({ connection }: Transaction, { claimedUnread }: Rows): Promise<void> {
  if (claimedUnread.size === 0) return;
  const seqs = [...claimedUnread.keys()];
  for (const { seq, spec } of await connection.run<{ seq: number; spec: string }>(readLargeSpecs, [seqs])) {
    const claim = claimedUnread.get(seq);
    if (claim !== undefined) claim.spec = JSON.parse(spec) as JobSpec;
  }
}

/** Single statements are sent together; the server takes them in order. */
async function makeInTurn(
  transaction: Transaction,
  calls: readonly DirectCall<unknown>[],
  answers: Map<Call<unknown>, Answer>,
): Promise<void> {
  const make = async (call: DirectCall<unknown>): Promise<void> => {
    answers.set(call, await answerOf(call, transaction));
  };
  if (calls.every(({ single }) => single)) await settleAll(calls.map(make));
  else for (const call of calls) await make(call);
}

/** Waits for every one, so that nothing of the group is under way once it failed. */
async function settleAll(parts: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(parts)) {
    if (result.status === "rejected") throw result.reason;
  }
}

async function answerOf(call: DirectCall<unknown>, transaction: Transaction): Promise<Answer> {
  try {
    return { value: await call.run(transaction) };
  } catch (error) {
    // The server's errors end the transaction; our own come before anything is changed.
    if (!(error instanceof SallyportError)) throw error;
    return { error };
  }
}
