/** A YAML file as values that know where they stand, so that every fault names its line. */
import { readFile, stat } from "node:fs/promises";
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Document } from "yaml";
import { SallyportError } from "../../errors.ts";
import { openFailure } from "./open-failure.ts";

/** bytes */
const sizeLimit = 1_048_576;

interface File {
  readonly path: string;
  readonly document: Document.Parsed;
  readonly lines: LineCounter;
}

interface Place {
  readonly file: string;
  readonly line: number;
  /** Dotted path of keys; empty for the file itself */
  readonly field: string;
}

/** The whole file. Throws `config_invalid` when it cannot be read, is no YAML, or names a key twice. */
export async function readYaml(path: string): Promise<YamlValue> {
  const text = await readText(path);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: "silent" });
  const wrong = document.errors[0] ?? document.warnings[0];
  if (wrong !== undefined) {
    const place = { file: path, line: lines.linePos(wrong.pos[0]).line, field: "" };
    const twice = wrong.code === "DUPLICATE_KEY";
    throw fault(place, twice ? "mapping key already defined" : wrong.message, "correct the YAML");
  }
  return new YamlValue({ path, document, lines }, document.contents, { file: path, line: 1, field: "" });
}

async function readText(path: string): Promise<string> {
  const place = { file: path, line: 1, field: "" };
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > sizeLimit) throw fault(place, `is larger than ${sizeLimit} bytes`, "name a tunnel file");
    text = await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof SallyportError) throw error;
    throw fault(place, openFailure(path, error), "name a file that can be read");
  }
  return text;
}

function fault({ file, line, field }: Place, reason: string, fix: string): SallyportError {
  const where = field === "" ? `${file}:${line}` : `${file}:${line}: ${field}`;
  return new SallyportError("config_invalid", `${where}: ${reason}`, { details: { file, line, field, fix } });
}

export class YamlValue {
  readonly #file: File;
  readonly #node: unknown;
  readonly place: Place;

  constructor(file: File, node: unknown, place: Place) {
    this.#file = file;
    this.#node = isAlias(node) ? node.resolve(file.document) : node;
    this.place = place;
  }

  fault(reason: string, fix: string): SallyportError {
    return fault(this.place, reason, fix);
  }

  /** A mapping whose keys are known; `type` is how a fault calls what was expected. */
  fields<Name extends string>(names: readonly Name[], type: string): Fields<Name> {
    const found = new Map<string, YamlValue>();
    for (const [key, value] of this.entries(type)) {
      if (!names.includes(key as Name)) {
        throw value.fault("unknown key", `remove it, or use one of ${names.join(", ")}`);
      }
      found.set(key, value);
    }
    return new Fields(this, found);
  }

  /** A mapping with any keys, as they are written. */
  entries(type: string): [key: string, value: YamlValue][] {
    if (!isMap(this.#node)) throw this.#mismatch(type);
    return this.#node.items.map(({ key, value }) => {
      if (!isScalar(key)) throw this.fault("a key is not plain text", "write each key as plain text");
      const name = String(key.source ?? key.value);
      const field = this.place.field === "" ? name : `${this.place.field}.${name}`;
      return [name, this.#inner(value, { field, from: key.range?.[0] })];
    });
  }

  list(type: string): YamlValue[] {
    if (!isSeq(this.#node)) throw this.#mismatch(type);
    return this.#node.items.map((item, index) => {
      const from = (item as { range?: [number] } | null)?.range?.[0];
      return this.#inner(item, { field: `${this.place.field}[${index}]`, from });
    });
  }

  /** Text that is not empty */
  text(): string {
    const value = isScalar(this.#node) ? this.#node.value : undefined;
    if (typeof value !== "string") throw this.#mismatch("string");
    if (value === "") throw this.fault("is empty", "write a value, or leave the key out");
    return value;
  }

  flag(): boolean {
    const value = isScalar(this.#node) ? this.#node.value : undefined;
    if (typeof value !== "boolean") throw this.#mismatch("bool");
    return value;
  }

  oneOf<Choice extends string>(choices: readonly Choice[]): Choice {
    const value = isScalar(this.#node) ? this.#node.value : undefined;
    const chosen = choices.find((choice) => choice === value);
    if (chosen !== undefined) return chosen;
    throw this.fault(`${JSON.stringify(value)} is none of ${choices.join(", ")}`, "use one of them");
  }

  #inner(node: unknown, { field, from }: { field: string; from: number | undefined }): YamlValue {
    const line = from === undefined ? this.place.line : this.#file.lines.linePos(from).line;
    return new YamlValue(this.#file, node, { file: this.place.file, line, field });
  }

  #mismatch(type: string): SallyportError {
    return this.fault(`cannot unmarshal !!${this.#tag()} into ${type}`, `write a ${type} here`);
  }

  #tag(): string {
    if (isMap(this.#node)) return "map";
    if (isSeq(this.#node)) return "seq";
    const value = isScalar(this.#node) ? this.#node.value : null;
    if (typeof value === "string") return "str";
    if (typeof value === "boolean") return "bool";
    if (typeof value === "number") return Number.isInteger(value) ? "int" : "float";
    return "null";
  }
}

export class Fields<Name extends string> {
  readonly #parent: YamlValue;
  readonly #found: ReadonlyMap<string, YamlValue>;

  constructor(parent: YamlValue, found: ReadonlyMap<string, YamlValue>) {
    this.#parent = parent;
    this.#found = found;
  }

  get(name: Name): YamlValue | undefined {
    return this.#found.get(name);
  }

  need(name: Name): YamlValue {
    const value = this.#found.get(name);
    if (value !== undefined) return value;
    throw this.#parent.fault(`${name} is missing`, `add ${name}`);
  }

  /** What stands under `name`, read; `otherwise` where the key is left out. */
  read<T, Otherwise>(name: Name, read: (value: YamlValue) => T, otherwise: Otherwise): T | Otherwise {
    const value = this.#found.get(name);
    return value === undefined ? otherwise : read(value);
  }
}
