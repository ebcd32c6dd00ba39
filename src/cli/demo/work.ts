/** Steps that show real work: code an agent would write, with files in and out. */
import { expect, runJob, text, type Step } from "./step.ts";

const sales = "region,units,price\nnorth,12,2.50\nsouth,7,3.10\nnorth,5,2.75\neast,9,1.99\n";

const analysis = `
import pandas as pd
frame = pd.read_csv("sales.csv")
frame["revenue"] = frame["units"] * frame["price"]
totals = frame.groupby("region")["revenue"].sum().round(2)
totals.to_csv("totals.csv")
print(totals.to_string())
`;

const nodeCode = `
import { createHash } from "node:crypto";
const primes = [];
for (let n = 2; primes.length < 1000; n += 1) if (primes.every((p) => n % p)) primes.push(n);
console.log(process.version, primes.at(-1), createHash("sha256").update(primes.join()).digest("hex").slice(0, 12));
`;

export const work: readonly Step[] = [
  {
    title: "Python reads an input CSV with pandas and leaves an artifact",
    async run(client) {
      const files = [{ path: "sales.csv", text: sales }];
      const ran = await runJob(client, {
        profile: "python",
        code: analysis,
        files,
        artifacts: ["totals.csv"],
      });
      expect(ran.result.state === "succeeded", "the job to succeed", { ...ran.result, stderr: ran.stderr });
      const artifact = await client.jobs.artifact(ran.id, "totals.csv");
      const csv = text(await Array.fromAsync(artifact.bytes));
      expect(csv.includes("north,43.75"), "north,43.75 in totals.csv", csv);
      return `totals.csv: ${csv.trim().replaceAll("\n", " · ")}`;
    },
  },
  {
    title: "Node computes in a sandbox of its own",
    async run(client) {
      const ran = await runJob(client, { profile: "node", code: nodeCode });
      expect(ran.stdout.includes(" 7919 "), "the 1000th prime", { stdout: ran.stdout, stderr: ran.stderr });
      return ran.stdout.trim();
    },
  },
  {
    title: "A shell pipeline works on 8 MB of standard input, streamed",
    async run(client) {
      const command = ["sh", "-c", "tr a b | sha256sum; echo counted >&2"];
      const job = await client.jobs.submit({ profile: "shell", command, stdin: { stream: true } });
      const block = Buffer.alloc(1 << 20, "a");
      await client.jobs.stdin(job.id, blocks(block, 8));
      const view = await client.jobs.get(job.id, { waitMs: 30_000 });
      const out = text(await Array.fromAsync(await client.jobs.stdout(job.id)));
      expect(out.startsWith("042e995365a46153"), "the hash of 8 MiB of b", { out, result: view.result });
      return `${out.trim().slice(0, 16)}…, streams kept apart`;
    },
  },
  {
    title: "Twenty jobs at once, each in its own sandbox",
    async run(client) {
      const numbers = Array.from({ length: 20 }, (_, n) => n);
      const outputs = await Promise.all(
        numbers.map(
          async (n) => (await runJob(client, { profile: "shell", command: ["echo", String(n * n)] })).stdout,
        ),
      );
      expect(
        outputs.every((out, n) => out === `${n * n}\n`),
        "20 right answers",
        outputs,
      );
      return "20 of 20 right";
    },
  },
];

async function* blocks(block: Uint8Array, count: number): AsyncGenerator<Uint8Array> {
  for (let left = count; left > 0; left -= 1) yield block;
}
