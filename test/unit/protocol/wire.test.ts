/** Wire fixtures against the unions, and the protocol document against both. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { z } from "zod";
import { hubDialect, workerDialect } from "../../../src/channel/index.ts";
import { isError } from "../../../src/errors.ts";
import {
  frameTypes,
  hubMessageSchema,
  hubStreamSchema,
  limits,
  recordKinds,
  rejectReasons,
  workerMessageSchema,
  workerStreamSchema,
} from "../../../src/protocol/index.ts";

const fixtureSchema = z.object({
  valid: z.array(z.object({ name: z.string(), json: z.unknown() })),
  invalid: z.array(z.object({ name: z.string(), field: z.string(), json: z.unknown() })),
});

function optionNames(schema: { options: readonly { shape: object }[] }, key: string): string[] {
  return schema.options.map((option) => {
    const literal = (option.shape as Record<string, z.ZodLiteral<string>>)[key];
    return literal?.value ?? "";
  });
}

const named = z.record(z.string(), z.unknown());
const nameIn = (json: unknown, key: string): unknown => named.safeParse(json).data?.[key];

const sides = [
  {
    file: "worker-messages",
    read: (json: unknown): unknown => hubDialect.message(json),
    names: optionNames(workerMessageSchema, "type"),
    key: "type",
  },
  {
    file: "hub-messages",
    read: (json: unknown): unknown => workerDialect.message(json),
    names: optionNames(hubMessageSchema, "type"),
    key: "type",
  },
  {
    file: "worker-streams",
    read: (json: unknown): unknown => hubDialect.stream(json),
    names: optionNames(workerStreamSchema, "kind"),
    key: "kind",
  },
  {
    file: "hub-streams",
    read: (json: unknown): unknown => workerDialect.stream(json),
    names: optionNames(hubStreamSchema, "kind"),
    key: "kind",
  },
];

for (const { file, read, names, key } of sides) {
  suite(`wire fixtures: ${file}`, () => {
    const url = new URL(`../../fixtures/wire/${file}.json`, import.meta.url);
    const fixtures = fixtureSchema.parse(JSON.parse(readFileSync(url, "utf8")));

    test("each of the union's members has a valid and, where it has fields, an invalid one", () => {
      const without = (list: { json: unknown }[]): string[] => {
        const covered = new Set(list.map((fixture) => nameIn(fixture.json, key)));
        return names.filter((name) => !covered.has(name) && name !== "leases.request");
      };
      assert.deepEqual([without(fixtures.valid), without(fixtures.invalid)], [[], []]);
    });

    for (const { name, json } of fixtures.valid) {
      test(`read: ${name}`, () => {
        const { weather: _ignored, ...known } = named.parse(json);
        assert.deepEqual(read(json), known);
      });
    }

    for (const { name, field, json } of fixtures.invalid) {
      test(`refused: ${name}`, () => {
        assert.throws(
          () => read(json),
          (error) => {
            assert.ok(isError(error, "protocol_violation"));
            const problems = error.details["problems"] as { field: string }[];
            assert.equal(problems[0]?.field, field, JSON.stringify(problems));
            return true;
          },
        );
      });
    }
  });
}

test("the longest list of routes fits one message", () => {
  const longest = (at: number): string => `${at}`.padStart(253, "x");
  const routes = Array.from({ length: limits.routes }, (_, at) => ({ host: longest(at), name: longest(at) }));
  const message = { type: "connector.welcome", protocol: 1, hubId: "h".repeat(128), routes };
  assert.deepEqual(workerDialect.message(message), message);
  assert.ok(Buffer.byteLength(JSON.stringify(message)) <= limits.messageBytes);
});

suite("the protocol document", () => {
  const text = readFileSync(new URL("../../../src/protocol/README.md", import.meta.url), "utf8");

  test("names every message, stream, frame, record kind, reject reason and limit", () => {
    const names = [
      ...sides.flatMap((side) => side.names),
      ...Object.keys(frameTypes),
      ...Object.keys(recordKinds),
      ...rejectReasons,
      ...Object.keys(limits),
    ];
    assert.deepEqual(
      names.filter((name) => !text.includes(`\`${name}\``)),
      [],
    );
  });

  test("gives the guarantee in the words of the README", () => {
    const words =
      "a job is dispatched at least once, runs at most once at a time, and has exactly one recorded result. It is retried only when " +
      "the job allows it, or when the hub knows its command never started.";
    assert.ok(text.replaceAll(/\s+/g, " ").includes(words));
  });
});

test("a message with more of something than it may have is refused for that alone, whatever stands in it", () => {
  const many = <T>(item: T): T[] => Array.from({ length: 100_000 }, () => item);
  const names = Object.fromEntries(Array.from({ length: 100_000 }, (_, at) => [`n${at}`, -1]));
  const ref = { lease: "a", attempt: 1, epoch: 1 };
  const messages: Record<string, object> = {
    artifacts: { type: "lease.exit", ...ref, outcome: { artifacts: many({}) } },
    mcp: { type: "profiles", profiles: [{ mcp: many({}) }] },
    labels: { type: "hello", labels: names },
    warm: { type: "heartbeat", warm: names },
    leases: { type: "leases", leases: many({}) },
  };
  for (const [field, message] of Object.entries(messages)) {
    const { issues } = workerMessageSchema.safeParse(message).error ?? { issues: [] };
    const ofField = issues.filter(({ path }) => path.includes(field));
    assert.equal(ofField.length, 1, `${field}: ${ofField.length} problems`);
    assert.match(ofField[0]?.message ?? "", /more than|Too big/);
  }
});
