/** The format of `sandbox-profiles/*.json`, and the parsed profile the rest of the product works with. */
import { z } from "zod";

const quantity = z.string().max(32);
const name = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,62}$/, "use lower-case letters, digits and hyphens, starting with a letter");
const host = z
  .string()
  .regex(/^(\*|[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)$/, 'use a host name in lower case, or "*"');
const moduleName = z.string().regex(/^[A-Za-z_@][A-Za-z0-9_@./:-]{0,127}$/, "use a module name");

const resources = z.strictObject({
  cpus: z.number().min(0.05).max(1024),
  memory: quantity,
  pids: z.int().min(4).max(65_536),
  workspace: quantity,
  tmp: quantity,
  gpus: z.int().min(0).max(64).default(0),
});

const limits = z.strictObject({
  wallClock: quantity,
  output: quantity,
  artifacts: quantity,
  idle: quantity.nullable().default(null),
});

export const languageNames = ["python", "node", "shell"] as const;
export type LanguageName = (typeof languageNames)[number];

const language = z.strictObject({ preload: z.array(moduleName).max(64).default([]) });

export const profileFileSchema = z.strictObject({
  $schema: z.string().optional(),
  name,
  shape: z.enum(["fanout", "interpreter", "shell", "workspace", "heavy", "preview", "gvisor"]),
  image: z.string().regex(/^[a-z0-9][a-z0-9._/:@-]{0,254}$/, "use an image reference"),
  runtime: z.enum(["runc", "crun", "runsc", "kata"]).default("runc"),
  lifecycle: z.enum(["job", "session"]).default("job"),
  resources,
  limits,
  languages: z.partialRecord(z.enum(languageNames), language).default({}),
  network: z
    .strictObject({
      mcp: z
        .array(z.strictObject({ host, tools: z.array(z.string().min(1).max(128)).max(256).optional() }))
        .max(64)
        .default([]),
    })
    .default({ mcp: [] }),
  pool: z
    .strictObject({ warm: z.int().min(0).max(1024).default(0), maxAge: quantity.default("10m") })
    .default({ warm: 0, maxAge: "10m" }),
  env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/), z.string().max(32_768)).default({}),
});

/** A profile as written, quantities still text. */
export type ProfileFile = z.output<typeof profileFileSchema>;

export interface MemoryShape {
  /** bytes */
  memory: number;
  /** bytes of the `/workspace` tmpfs */
  workspace: number;
  /** bytes of the `/tmp` tmpfs */
  tmp: number;
}

/** A profile with every quantity parsed; durations in `ms`, sizes in bytes. Frozen. */
export interface Profile {
  readonly name: string;
  /** `sha256:` over the canonical form; changes with any setting */
  readonly digest: string;
  readonly shape: ProfileFile["shape"];
  readonly image: string;
  readonly runtime: ProfileFile["runtime"];
  readonly lifecycle: ProfileFile["lifecycle"];
  readonly resources: Readonly<MemoryShape & { cpus: number; pids: number; gpus: number }>;
  readonly limits: Readonly<{ wallClock: number; output: number; artifacts: number; idle: number | null }>;
  readonly languages: Readonly<Partial<Record<LanguageName, Readonly<{ preload: readonly string[] }>>>>;
  readonly network: Readonly<{ mcp: readonly Readonly<{ host: string; tools?: readonly string[] }>[] }>;
  readonly pool: Readonly<{ warm: number; maxAge: number }>;
  readonly env: Readonly<Record<string, string>>;
}

/** The JSON Schema that `sandbox-profiles/schema.json` holds. */
export function profileJsonSchema(): unknown {
  return z.toJSONSchema(profileFileSchema, { io: "input" });
}
