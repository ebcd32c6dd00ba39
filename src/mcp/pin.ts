/** The tools of an upstream as they were first seen, so that a change of them is noticed. */
import { createHash } from "node:crypto";
import type { ListPage, ToolVerdict } from "./contract.ts";
import { isObject } from "./policy/json.ts";

export type PinMode = "off" | "warn" | "deny";

/** What a pin has seen; plain JSON. */
export interface PinState {
  /** The last page was seen, so that a tool not among `tools` is new */
  readonly complete: boolean;
  /** Digest of each tool's whole definition, by name */
  readonly tools: Readonly<Record<string, string>>;
}

/** Tools of one upstream that are remembered; more are drift, so that a list without an end does not take memory without one */
const mostTools = 10_000;

/** The first names of each kind, and the beginning of each */
export interface ToolDrift {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  /** Known only where the list came as one page */
  readonly removed: readonly string[];
}

export interface ToolPinOptions {
  readonly mode: PinMode;
  /** Pins what was seen in an earlier life */
  readonly from?: PinState;
  /** Told of each different drift once. */
  readonly onDrift?: (drift: ToolDrift) => void;
}

/** Hex SHA-256 of a tool list; the order of tools and of keys does not matter. */
export function toolListDigest(tools: readonly unknown[]): string {
  return sha256(tools.map(canonical).sort().join("\n"));
}

/** Pins the tools of one route at first sight; `listed` is that of a `ToolRule`. */
export class ToolPin {
  readonly #mode: PinMode;
  readonly #onDrift: ((drift: ToolDrift) => void) | undefined;
  readonly #pinned: Map<string, string>;
  #complete: boolean;
  #told = "";

  constructor({ mode, from, onDrift }: ToolPinOptions) {
    this.#mode = mode;
    this.#onDrift = onDrift;
    this.#pinned = new Map(Object.entries(from?.tools ?? {}));
    this.#complete = from?.complete ?? false;
  }

  get state(): PinState {
    return { complete: this.#complete, tools: Object.fromEntries(this.#pinned) };
  }

  listed(tools: readonly unknown[], page: ListPage): ToolVerdict {
    if (this.#mode === "off") return { allow: true };
    const drift = this.#compare(tools, page);
    if (drift === null) return { allow: true };
    const told = JSON.stringify(drift);
    if (told !== this.#told) this.#onDrift?.(drift);
    this.#told = told;
    if (this.#mode === "warn") return { allow: true };
    return {
      allow: false,
      code: "tools_changed",
      reason: `the upstream's tools changed: ${describe(drift)}`,
    };
  }

  #compare(tools: readonly unknown[], page: ListPage): ToolDrift | null {
    const seen = new Map<string, string>();
    for (const tool of tools) {
      const [name, digest] = [nameOf(tool), sha256(canonical(tool))];
      // Two tools of one name are one that is neither.
      seen.set(name, seen.has(name) ? `${seen.get(name)} ${digest}` : digest);
    }
    const names = [...seen.keys()];
    const changed = names.filter((name) => (this.#pinned.get(name) ?? seen.get(name)) !== seen.get(name));
    const added = this.#complete ? names.filter((name) => !this.#pinned.has(name)) : [];
    const whole = page.first && page.last && this.#complete;
    const removed = whole ? [...this.#pinned.keys()].filter((name) => !seen.has(name)) : [];
    if (changed.length + added.length + removed.length > 0) {
      return { added: some(added), changed: some(changed), removed: some(removed) };
    }
    for (const [name, digest] of seen) if (this.#pinned.size < mostTools) this.#pinned.set(name, digest);
    this.#complete ||= page.last || this.#pinned.size === mostTools;
    return null;
  }
}

/** What an upstream calls its tools, and how many it has, is for it to say; it ends up in a log. */
function some(names: readonly string[]): string[] {
  return names.slice(0, 32).map((name) => name.slice(0, 128));
}

function describe(drift: ToolDrift): string {
  return Object.entries(drift)
    .filter(([, names]: [string, readonly string[]]) => names.length > 0)
    .map(
      ([kind, names]: [string, readonly string[]]) => `${kind} ${names.slice(0, 8).join(", ").slice(0, 256)}`,
    )
    .join("; ");
}

function nameOf(tool: unknown): string {
  return isObject(tool) && typeof tool["name"] === "string" ? tool["name"] : "";
}

/** JSON with keys in order. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
