/** The checker, on histories made by hand: each invariant holds on a good one and turns red on a planted fault. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { check, type Invariant } from "./checker.ts";
import type { Entry, FinalView, History, JobPlan, News } from "./history.ts";
import { firstDifference, knownBytes } from "./known-bytes.ts";
import { faultNames, makePlan } from "./plan.ts";

const plan: JobPlan = { key: "k", seed: 7, bytes: 100, ms: 10, exitCode: 0, maxAttempts: 1 };
const bounds = {
  heartbeatMs: 100,
  leaseMs: 1_000,
  selfStopMs: 700,
  offerMs: 300,
  graceMs: 100,
  slackMs: 100,
};
const job = "j1";
const pid = 42;
const exited = { attempt: 1, reason: "exited" };

function view(more: Partial<FinalView> = {}): FinalView {
  return {
    state: "succeeded",
    attempts: [exited],
    cancelRequested: false,
    result: {
      reason: "exited",
      exitCode: 0,
      attempt: 1,
      finishedAt: 40,
      output: { stdoutBytes: 100, stderrBytes: 25, truncated: false, missing: null },
    },
    stdout: { length: 100, wrongAt: -1 },
    stderr: { length: 25, wrongAt: -1 },
    ...more,
  };
}

type Timed = [at: number, news: News];

const run = (at: number, attempt = 1, epoch = attempt, who = pid): Timed[] => [
  [at, { type: "start", job, attempt, epoch, pid: who }],
  [at + 10, { type: "end", job, attempt, epoch, pid: who }],
];
const submitted: Timed = [1, { type: "submit", phase: "ok", key: "k", job }];
const result = (at: number, text = "R"): Timed => [at, { type: "result", job, result: text, by: "poll" }];
const final = (more: Partial<FinalView> = {}): Timed => [
  500,
  { type: "final", job, key: "k", view: view(more) },
];
const piece = (from: number, to: number, exact = true): Timed => [
  25,
  { type: "piece", job, follower: 1, attempt: 1, stream: "stdout", from, to, exact },
];
const born: Timed = [0, { type: "process", what: "started", name: "worker0", pid }];
const died: Timed = [900, { type: "process", what: "ended", name: "worker0", pid }];
const cancelled = (at: number, attempts: number): Timed => [
  at,
  { type: "cancel", phase: "ok", job, attempts },
];

function history(events: readonly Timed[], more: Partial<JobPlan> = {}): History {
  const entries = events.map(([at, news]): Entry => ({ at, wall: at, ...news })).sort((a, b) => a.at - b.at);
  return { seed: 1, bounds, jobs: new Map([["k", { ...plan, ...more }]]), entries };
}

const good = [
  born,
  submitted,
  ...run(20),
  piece(0, 60),
  piece(60, 100),
  result(41),
  final(),
  result(501),
  died,
];

function broken(events: readonly Timed[], more: Partial<JobPlan> = {}): Invariant[] {
  return [...new Set(check(history(events, more)).map(({ invariant }) => invariant))];
}

const without = (...gone: Timed[]): Timed[] => good.filter((event) => !gone.includes(event));
const finalEvent = good.find(([, { type }]) => type === "final") ?? submitted;
const withFinal = (more: Partial<FinalView>): Timed[] => [...without(finalEvent), final(more)];
const outcome = (more: Partial<NonNullable<FinalView["result"]>>): Timed[] =>
  withFinal({ result: { ...(view().result ?? assert.fail()), ...more } });

test("a history in which everything went well breaks nothing", () => {
  assert.deepEqual(check(history(good)), []);
});

const planted: [Invariant, string, Timed[], Partial<JobPlan>?][] = [
  ["I1", "a job that never ended", withFinal({ result: null, state: "running" })],
  ["I1", "a job nobody could read back", without(finalEvent)],
  ["I7", "a job that is gone", [...good, [600, { type: "final", job, key: "k", view: null }]]],
  [
    "I7",
    "a key that names another job",
    [...good, [2, { type: "submit", phase: "ok", key: "k", job: "j2" }]],
  ],
  ["I2", "two different results", [...good, result(700, "other")]],
  [
    "I2",
    "a result without a run",
    without(...good.filter(([, { type }]) => type === "start" || type === "end")),
  ],
  ["I2", "another exit code than the command's", outcome({ exitCode: 9 })],
  ["I3", "two starts of one attempt", [...good, ...run(100, 1, 2)], { maxAttempts: 3 }],
  ["I3", "a second start of a job that is not retryable", [...good, ...run(100, 2)]],
  ["I3", "two attempts side by side", [...good, ...run(25, 2, 2, 43)], { maxAttempts: 3 }],
  [
    "I3",
    "a command that outlives its job",
    [
      ...good,
      [30, { type: "start", job, attempt: 2, epoch: 2, pid: 44 }],
      [5_000, { type: "end", job, attempt: 2, epoch: 2, pid: 44 }],
    ],
    { maxAttempts: 3 },
  ],
  ["I4", "wrong bytes", withFinal({ stdout: { length: 100, wrongAt: 50 } })],
  ["I4", "too few bytes", withFinal({ stdout: { length: 99, wrongAt: -1 } })],
  [
    "I4",
    "fewer bytes than the command printed, counted as if they were all",
    [
      ...outcome({ output: { stdoutBytes: 99, stderrBytes: 25, truncated: false, missing: null } }).filter(
        ([, { type }]) => type !== "final",
      ),
      final({
        stdout: { length: 99, wrongAt: -1 },
        result: {
          ...(view().result ?? assert.fail()),
          output: { stdoutBytes: 99, stderrBytes: 25, truncated: false, missing: null },
        },
      }),
    ],
  ],
  ["I4", "a gap in what a follower saw", [...good, piece(110, 120)]],
  ["I4", "a repetition in what a follower saw", [...good, piece(90, 100)]],
  ["I4", "wrong bytes in what a follower saw", [...good, piece(100, 110, false)]],
  ["I5", "an attempt that started behind the cancel", [...good, cancelled(15, 0)]],
  [
    "I5",
    "a held attempt that started long behind the cancel",
    [...good, cancelled(15, 2), ...run(2_000, 2)],
    { maxAttempts: 3 },
  ],
  [
    "I5",
    "a cancelled job that ends late",
    [
      ...without(finalEvent, ...good.filter(([, { type }]) => type === "result")),
      cancelled(21, 1),
      [
        9_000,
        {
          type: "final",
          job,
          key: "k",
          view: view({ result: { ...(view().result ?? assert.fail()), finishedAt: 8_900 } }),
        },
      ],
    ],
  ],
  [
    "I6",
    "a process that does not end",
    [...good, [950, { type: "left", what: "did not end", where: "worker0" }]],
  ],
  ["I6", "a sandbox that is left", [...good, [30, { type: "made", job, sandbox: "s", pid: 77 }]]],
  [
    "I6",
    "a command that still runs",
    [...good, [30, { type: "start", job, attempt: 2, epoch: 2, pid: 77 }]],
    { maxAttempts: 3 },
  ],
  [
    "I7",
    "bytes missing though the worker lived",
    outcome({ output: { stdoutBytes: 100, stderrBytes: 25, truncated: false, missing: { from: 0, to: 9 } } }),
  ],
];

for (const [invariant, what, events, more] of planted) {
  test(`${invariant} turns red for ${what}`, () => {
    assert.ok(broken(events, more).includes(invariant), `found ${broken(events, more).join()}`);
  });
}

test("bytes missing of a worker that was lost, a stop of the whole process, and a death are excused", () => {
  const lost = outcome({
    reason: "worker_lost",
    output: { stdoutBytes: 0, stderrBytes: 0, truncated: false, missing: { from: 0, to: 9 } },
  });
  assert.deepEqual(broken(lost), []);
  const frozen: Timed[] = [
    [22, { type: "process", what: "frozen", name: "worker0", pid }],
    [1_000, { type: "process", what: "thawed", name: "worker0", pid }],
    [1_050, { type: "end", job, attempt: 1, epoch: 1, pid }],
    [2_000, died[1]],
  ];
  const kept = without(died, ...good.filter(([, { type }]) => type === "end"));
  assert.deepEqual(broken([...kept, ...frozen, ...run(25, 2, 2, 43)], { maxAttempts: 3 }), []);
});

test("an end that a wrong clock dates too late was no later than somebody saw it", () => {
  const events = [...outcome({ finishedAt: 3_600_040 }), cancelled(21, 1)];
  assert.deepEqual(broken(events), []);
});

test("a violation shows the part of the history it is about", () => {
  const [first] = check(history([...good, result(700, "other")]));
  assert.ok(first?.piece.some((entry) => entry.type === "result" && entry.result === "other"));
});

test("the same seed gives the same schedule, another seed another", () => {
  const rates = { jobsPerSecond: 5, faultsPerSecond: 1 };
  const options = { runMs: 60_000, hubs: 2, workers: 3, faults: faultNames, ...rates };
  assert.deepEqual(makePlan({ ...options, seed: 5 }), makePlan({ ...options, seed: 5 }));
  assert.notDeepEqual(makePlan({ ...options, seed: 5 }), makePlan({ ...options, seed: 6 }));
});

test("known bytes are the same in any cut, and a loss, a repetition or a swap shows", () => {
  const whole = knownBytes(9, 0, 1_000);
  assert.equal(firstDifference(9, 123, whole.subarray(123, 777)), -1);
  assert.equal(firstDifference(9, 0, Buffer.concat([whole.subarray(0, 100), whole.subarray(101)])), 100);
  assert.notEqual(firstDifference(9, 0, Buffer.concat([whole.subarray(0, 100), whole])), -1);
  assert.equal(firstDifference(8, 0, whole), 0);
});
