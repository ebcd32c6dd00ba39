/** Just enough tar (ustar) for a build context and for one file copied out of an image. */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { Readable } from "node:stream";

const block = 512;

/**
 * A tar with `entries` in their order.
 * @param {{ name: string, path: string, mode?: number }[]} entries `path` is the file on this host
 */
export function pack(entries) {
  return Readable.from(packed(entries));
}

async function* packed(entries) {
  for (const { name, path, mode = 0o644 } of entries) {
    const { size } = await stat(path);
    yield header(name, size, mode);
    let sent = 0;
    for await (const chunk of createReadStream(path)) {
      sent += chunk.length;
      yield chunk;
    }
    if (sent !== size) throw new Error(`${path} changed while it was read`);
    yield Buffer.alloc((block - (size % block)) % block);
  }
  yield Buffer.alloc(2 * block);
}

/** The content of the only regular file in `tar`. */
export function unpackOne(tar) {
  const size = Number.parseInt(tar.toString("latin1", 124, 136), 8);
  const type = String.fromCharCode(tar[156] ?? 0);
  if ((type !== "0" && type !== "\0") || !(tar.length >= block + size))
    throw new Error("the tar does not hold one file");
  return tar.subarray(block, block + size);
}

/** https://www.gnu.org/software/tar/manual/html_node/Standard.html */
function header(path, size, mode) {
  const { name, prefix } = splitName(path);
  const bytes = Buffer.alloc(block);
  const octal = (value, offset, width) =>
    bytes.write(`${value.toString(8).padStart(width - 1, "0")}\0`, offset, "latin1");
  bytes.write(name, 0);
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  bytes.write("        0", 148, "latin1");
  bytes.write("ustar\u000000", 257, "latin1");
  bytes.write(prefix, 345);
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return bytes;
}

/** A long path stands in two fields, cut at a slash. */
function splitName(path) {
  if (Buffer.byteLength(path) <= 100) return { name: path, prefix: "" };
  for (let at = path.indexOf("/"); at !== -1; at = path.indexOf("/", at + 1)) {
    const [prefix, name] = [path.slice(0, at), path.slice(at + 1)];
    if (Buffer.byteLength(name) <= 100 && Buffer.byteLength(prefix) <= 155) return { name, prefix };
  }
  throw new Error(`the name is too long for a tar: ${path}`);
}
