/** What stands under `sallyport:`, our one addition to the documented keys. */
import type { RouteCredential, RouteSettings } from "../../tunnel/index.ts";
import { isError } from "../../errors.ts";
import { currentSecret } from "./credential.ts";
import { certificatePath, pathFrom } from "./files.ts";
import { readHost, readListen, type Listen } from "./values.ts";
import type { Fields, YamlValue } from "./yaml.ts";

export interface Additions {
  readonly settings: ReadonlyMap<string, RouteSettings>;
  readonly clientCaFile: string | null;
  readonly metrics: Listen | null;
}

const pins = ["off", "warn", "deny"] as const;
/** They say where a request goes, how it is framed or who it is from; no secret belongs there. */
const ownHeaders =
  /^(?:host|connection|content-.*|transfer-encoding|te|trailer|upgrade|expect|keep-alive|proxy-connection|forwarded|x-forwarded-.*|x-request-id|traceparent|x-sallyport-.*|mcp-.*)$/;

export function readAdditions(value: YamlValue | undefined, routes: ReadonlySet<string>): Additions {
  const fields = value?.fields(["routes", "client_ca_file", "metrics_addr"], "map");
  const settings = new Map<string, RouteSettings>();
  for (const [written, entry] of fields?.get("routes")?.entries("map") ?? []) {
    const key = readHost(entry, written);
    if (!routes.has(key)) throw entry.fault("no such route", "use a key of `routes`");
    if (settings.has(key)) throw entry.fault("mapping key already defined", "keep one of them");
    settings.set(key, readSettings(entry));
  }
  return {
    settings,
    clientCaFile: fields?.read("client_ca_file", certificatePath, null) ?? null,
    metrics: fields?.read("metrics_addr", readListen, null) ?? null,
  };
}

function readSettings(entry: YamlValue): RouteSettings {
  const fields = entry.fields(["credential", "tools", "pin"], "map");
  return Object.freeze({
    credential: fields.read("credential", readStamp, null),
    tools: fields.read("tools", readTools, null),
    pin: fields.read("pin", (value) => value.oneOf(pins), "off" as const),
  });
}

function readTools(value: YamlValue): readonly string[] {
  const tools = value.list("[]string").map((item) => {
    const tool = item.text();
    if (tool.length <= 128 && !/\p{Cc}/u.test(tool)) return tool;
    throw item.fault("is no tool name", "write the tool's name as the upstream lists it");
  });
  return Object.freeze(tools);
}

function readStamp(value: YamlValue): RouteCredential {
  const fields = value.fields(["header", "prefix", "file", "env"], "map");
  const named = fields.need("header");
  const header = named.text().toLowerCase();
  if (!/^[a-z0-9-]{1,64}$/.test(header) || ownHeaders.test(header)) {
    throw named.fault(
      `${JSON.stringify(header)} cannot carry a credential`,
      "use authorization or x-api-key",
    );
  }
  const prefix = fields.read("prefix", readPrefix, "");
  const credential = Object.freeze({ header, prefix, from: Object.freeze(readSource(value, fields)) });
  try {
    currentSecret(credential);
  } catch (error) {
    if (!isError(error)) throw error;
    throw value.fault(error.message, String(error.details["fix"]));
  }
  return credential;
}

function readPrefix(value: YamlValue): string {
  const prefix = value.text();
  if (/^[\x20-\x7e]{1,64}$/.test(prefix)) return prefix;
  throw value.fault("is not plain ASCII", 'write it as it stands before the secret, such as "Bearer "');
}

function readSource(value: YamlValue, fields: Fields<"file" | "env">): RouteCredential["from"] {
  const [file, env] = [fields.get("file"), fields.get("env")];
  if (file !== undefined && env === undefined) return { file: pathFrom(file) };
  if (env === undefined || file !== undefined) {
    throw value.fault("needs exactly one of file and env", "name where the secret is kept");
  }
  const name = env.text();
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !name.startsWith("SALLYPORT_")) return { env: name };
  throw env.fault(`${JSON.stringify(name)} cannot hold a credential`, "use a variable of your own");
}
