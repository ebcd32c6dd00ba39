/** Files that a tunnel file names: they must be there and readable before anything starts. */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { certificatesIn } from "../../tunnel/index.ts";
import { openFailure } from "./open-failure.ts";
import type { YamlValue } from "./yaml.ts";

/** The path, relative ones from the tunnel file's folder, of a file that can be read. */
export function readablePath(value: YamlValue): string {
  return readNamed(value).path;
}

/** The path of a file with at least one PEM certificate, each of which can be read. */
export function certificatePath(value: YamlValue): string {
  const { path, text } = readNamed(value);
  try {
    certificatesIn(text);
    return path;
  } catch (error) {
    throw value.fault(`${path}: ${(error as Error).message}`, "name a file with PEM certificates");
  }
}

export function pathFrom(value: YamlValue): string {
  return resolve(dirname(value.place.file), value.text());
}

function readNamed(value: YamlValue): { path: string; text: string } {
  const path = pathFrom(value);
  try {
    return { path, text: readFileSync(path, "utf8") };
  } catch (error) {
    throw value.fault(openFailure(path, error), "name a file this process can read");
  }
}
