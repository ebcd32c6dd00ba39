/** Steps that show the one network a sandbox has: the MCP servers its job was granted, by name, tool by tool. */
import { readFile } from "node:fs/promises";
import type { Fleet } from "./fleet.ts";
import { expect, runJob, type Step } from "./step.ts";
import { tunnelDomain } from "./tunnel-files.ts";

export function network(fleet: Fleet): readonly Step[] {
  return [pythonStep, nodeStep, reachStep(fleet)];
}

const pythonStep: Step = {
  title: "Sandboxed Python lists and calls the tools it was granted on docs, and is refused another",
  async run(client) {
    const ran = await runJob(client, {
      profile: "python",
      code: await program("docs.py"),
      env: { DOMAIN: tunnelDomain },
      mcp: [{ host: "docs", tools: ["search_docs", "count"] }],
    });
    const { stdout, stderr, result } = ran;
    expect(stdout.includes("tools ['count', 'search_docs']"), "two tools", { stdout, stderr });
    expect(stdout.includes("found Backups:"), "a document", { stdout, stderr });
    expect(stdout.includes('denied "tool_not_allowed"'), "delete_everything to be denied", {
      stdout,
      stderr,
    });
    expect(result.calls === 1, "one call counted", result);
    return stdout.trim().replaceAll("\n", " · ");
  },
};

const nodeStep: Step = {
  title: "Sandboxed Node with the official MCP client works on everything, through hub and connector",
  async run(client) {
    const ran = await runJob(client, {
      profile: "node",
      code: await program("everything.mjs"),
      env: { MCP_URL: `https://everything.${tunnelDomain}/mcp` },
      mcp: [{ host: "everything", tools: ["get-sum", "trigger-long-running-operation"] }],
    });
    const { stdout, stderr } = ran;
    expect(stdout.includes("The sum of 2 and 40 is 42"), "the sum", { stdout, stderr });
    expect(stdout.includes('"steps":4'), "four steps of progress", stdout);
    expect(stdout.includes('"denied":"tool_not_allowed"'), "echo to be denied", stdout);
    return stdout.trim();
  },
};

function reachStep({ upstreams }: Fleet): Step {
  return {
    title: "The same sandbox reaches no other host, no address and no name",
    async run(client) {
      const port = upstreams.docs.split(":").at(-1) ?? "";
      const { stdout, stderr } = await runJob(client, {
        profile: "python",
        code: await program("reach.py"),
        env: { DOMAIN: tunnelDomain, UPSTREAM_PORT: port },
        mcp: [{ host: "docs" }],
      });
      const refused = 'unknown host 403 {"error":"host_not_allowed","host":"example.com"}\n';
      expect(stdout.startsWith(refused), "the refusal of example.com", { stdout, stderr });
      expect(stdout.includes("not granted 403"), "everything to be refused", stdout);
      expect(!stdout.includes("REACHED"), "nothing to be reachable", stdout);
      return stdout.trim().replaceAll("\n", " · ");
    },
  };
}

/** What a sandbox is given to run. */
async function program(name: string): Promise<string> {
  return await readFile(new URL(`./programs/${name}`, import.meta.url), "utf8");
}
