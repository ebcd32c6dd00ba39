/** Who may enter whose room, and which room owns which package. The tables are the rule; the test only reads imports. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const src = resolve(dirname(fileURLToPath(import.meta.url)), "../src");

/** Leaf modules every room may use. */
const leaves = ["errors.ts", "folder.ts", "heap.ts", "hold.ts", "log.ts", "units.ts", "async"];

/** room → rooms it may enter, through their `index.ts` */
const doors: Record<string, readonly string[]> = {
  async: [],
  protocol: [],
  config: ["sandbox", "tunnel"],
  exchange: [],
  mcp: ["exchange"],
  audit: [],
  tunnel: ["exchange", "mcp", "uplink", "channel", "protocol"],
  egress: ["exchange", "mcp", "tunnel", "audit"],
  channel: ["protocol"],
  uplink: ["channel", "protocol"],
  store: ["protocol"],
  hub: ["store", "channel", "protocol", "exchange"],
  sandbox: [],
  worker: ["uplink", "channel", "protocol", "sandbox"],
  client: ["protocol"],
  loadtest: [],
  cli: ["client", "config", "protocol", "sandbox", "loadtest", "audit"],
  roles: [
    "config",
    "hub",
    "store",
    "worker",
    "uplink",
    "channel",
    "sandbox",
    "protocol",
    "exchange",
    "mcp",
    "audit",
    "tunnel",
    "egress",
  ],
};

/** package → the places that own it */
const owners: Record<string, readonly string[]> = {
  dockerode: ["sandbox/docker"],
  "tar-stream": ["sandbox/docker"],
  ws: ["channel"],
  "p-queue": ["worker"],
  pino: ["log.ts"],
  fastify: ["hub/api"],
  "fastify-type-provider-zod": ["hub/api"],
  "@fastify/swagger": ["hub/api"],
  "prom-client": ["hub", "tunnel"],
  "node:sqlite": ["store/sqlite"],
  commander: ["cli", "main.ts"],
  undici: ["client"],
  "@modelcontextprotocol/sdk": ["mcp"],
  "@peculiar/asn1-schema": ["tunnel/certificates"],
  "@peculiar/asn1-x509": ["tunnel/certificates"],
  "ipaddr.js": ["tunnel"],
  yaml: ["config"],
  pg: ["store/postgres"],
};

interface Import {
  file: string;
  specifier: string;
}

function files(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return files(path);
    return name.endsWith(".ts") ? [path] : [];
  });
}

function imports(): Import[] {
  return files(src).flatMap((path) =>
    [...readFileSync(path, "utf8").matchAll(/(?:from|import)\s*\(?\s*["']([^"']+)["']/g)].map((match) => ({
      file: relative(src, path),
      specifier: match[1] ?? "",
    })),
  );
}

const roomOf = (path: string): string => path.split("/")[0] ?? path;

function target(entry: Import): string | undefined {
  if (!entry.specifier.startsWith(".")) return undefined;
  return relative(src, resolve(src, dirname(entry.file), entry.specifier));
}

test("a room is entered only by the rooms its door is open to, and only through its index", () => {
  const wrong = imports().flatMap((entry) => {
    const to = target(entry);
    if (to === undefined) return [];
    const from = roomOf(entry.file);
    const room = roomOf(to);
    if (from === room || leaves.includes(room) || from === "main.ts") {
      return from === room || leaves.includes(to) || to.endsWith("/index.ts")
        ? []
        : [`${entry.file} → ${to}: not through the door`];
    }
    if (!(doors[from] ?? []).includes(room)) return [`${entry.file} → ${to}: ${from} may not enter ${room}`];
    return to === `${room}/index.ts` ? [] : [`${entry.file} → ${to}: not through the door`];
  });
  assert.deepEqual(wrong, []);
});

test("a package with an owner is imported by its owner only", () => {
  const wrong = imports().flatMap((entry) => {
    const name = Object.keys(owners).find(
      (owned) => entry.specifier === owned || entry.specifier.startsWith(`${owned}/`),
    );
    const places = name === undefined ? undefined : owners[name];
    if (places === undefined) return [];
    return places.some((place) => entry.file === place || entry.file.startsWith(`${place}/`))
      ? []
      : [`${entry.file} imports ${entry.specifier}`];
  });
  assert.deepEqual(wrong, []);
});

test("every room of the source is in the table", () => {
  const rooms = readdirSync(src).filter((name) => statSync(join(src, name)).isDirectory());
  assert.deepEqual(
    rooms.filter((room) => doors[room] === undefined),
    [],
  );
});

test("nothing that came from a job or the wire can be evaluated in our own processes", () => {
  const wrong = files(src).filter((path) =>
    /\beval\(|new Function\(|from "node:vm"|shell: true/.test(readFileSync(path, "utf8")),
  );
  assert.deepEqual(wrong, []);
});

test("no files of the source import each other in a loop, types included", () => {
  let arrows = imports().flatMap((entry) => {
    const to = target(entry);
    return to === undefined ? [] : [{ from: entry.file, to }];
  });
  // an arrow that nothing leads to, or that leads to nothing, is in no loop; without it others are not either
  for (let before = 0; before !== arrows.length;) {
    before = arrows.length;
    const [starts, ends] = [new Set(arrows.map(({ from }) => from)), new Set(arrows.map(({ to }) => to))];
    arrows = arrows.filter(({ from, to }) => ends.has(from) && starts.has(to));
  }
  assert.deepEqual(
    arrows.map(({ from, to }) => `${from} → ${to}`),
    [],
  );
});
