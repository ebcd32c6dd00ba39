/** Steps that show what a sandbox does not let a program do, and how that is told. */
import { expect, runJob, type Step } from "./step.ts";

const reach = `
import socket, os
print("interfaces", sorted(os.listdir("/sys/class/net")))
for host, port in [("1.1.1.1", 53), ("172.17.0.1", 22), ("169.254.169.254", 80)]:
    try:
        socket.create_connection((host, port), 2)
        print("REACHED", host)
    except OSError as error:
        print(host, error.strerror)
try:
    socket.getaddrinfo("example.com", 80)
    print("REACHED a resolver")
except OSError as error:
    print("names", error.strerror)
`;

const bomb = `
import os, time
made = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
        made += 1
except OSError as error:
    print("stopped after", made, "processes:", error.strerror)
`;

export const limits: readonly Step[] = [
  {
    title: "A program's failure is a result: exit code 3",
    async run(client) {
      const ran = await runJob(client, {
        profile: "shell",
        command: ["sh", "-c", "echo out; echo err >&2; exit 3"],
      });
      expect(ran.result.exitCode === 3 && ran.result.reason === "exited", "exit code 3", ran.result);
      expect(ran.stdout === "out\n" && ran.stderr === "err\n", "the streams apart", [ran.stdout, ran.stderr]);
      return "failed · exited 3 · stdout and stderr apart";
    },
  },
  {
    title: "A program that sleeps past its timeout of 1 s",
    async run(client) {
      const { result } = await runJob(client, { profile: "shell", command: ["sleep", "60"], timeout: "1s" });
      expect(result.state === "timed_out" && result.reason === "timeout", "a timeout", result);
      return `timed_out after ${Math.round(result.timings.runMs)} ms`;
    },
  },
  {
    title: "A memory hog: 1 GiB under a limit of 256 MiB",
    async run(client) {
      const command = ["sh", "-c", "head -c 1073741824 /dev/zero | tail"];
      const { result } = await runJob(client, { profile: "shell", command });
      expect(result.oom && result.state === "failed", "memory to run out", result);
      return `${result.state} · ${result.reason}`;
    },
  },
  {
    title: "A fork bomb, while a neighbour goes on working",
    async run(client) {
      const [ran, neighbour] = await Promise.all([
        runJob(client, { profile: "python", code: bomb, timeout: "20s" }),
        runJob(client, { profile: "shell", command: ["echo", "unmoved"] }),
      ]);
      expect(ran.stdout.includes("stopped after"), "the bomb to be capped", { ...ran });
      expect(neighbour.stdout === "unmoved\n", "the neighbour to answer", neighbour);
      return `${ran.stdout.trim()}; neighbour unmoved`;
    },
  },
  {
    title: "An attempt to reach the network",
    async run(client) {
      const ran = await runJob(client, { profile: "python", code: reach });
      expect(ran.stdout.includes("interfaces ['lo']"), "loopback alone", {
        stdout: ran.stdout,
        stderr: ran.stderr,
      });
      expect(!ran.stdout.includes("REACHED"), "nothing to be reachable", ran.stdout);
      return ran.stdout.trim().replaceAll("\n", " · ");
    },
  },
];
