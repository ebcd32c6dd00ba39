/** Payloads as they go to the guest and as they come from it. */
import { SallyportError } from "../../errors.ts";
import type { ExecSpec, FileStat } from "../contract.ts";
import { maxExecBytes, violation } from "./codec.ts";

const maxArgs = 16_384;
const maxEnv = 4_096;
const maxPorts = 16;
const maxPathBytes = 4_096;
const flags = { stdinPipe: 1, tty: 2 };
/** type u8, mode u32, size u64, mtime i64 */
const statBytes = 21;
const fileTypes: readonly FileStat["type"][] = ["file", "directory", "link", "other"];

/** flags u8, cols u16, rows u16, credit u32, argc u16, envc u16, then cwd, arguments and environment, each with a NUL. */
export function encodeExec(spec: ExecSpec, outputCredit: number): Buffer {
  const env = Object.entries(spec.env);
  checkExec(spec, env);
  const head = Buffer.alloc(13);
  head.writeUInt8(
    (spec.stdin === "pipe" ? flags.stdinPipe : 0) | (spec.tty === undefined ? 0 : flags.tty),
    0,
  );
  if (spec.tty !== undefined) head.set(size(spec.tty), 1);
  head.writeUInt32BE(outputCredit, 5);
  head.writeUInt16BE(spec.argv.length, 9);
  head.writeUInt16BE(env.length, 11);
  const texts = [spec.cwd, ...spec.argv, ...env.map(([name, value]) => `${name}=${value}`)];
  const payload = Buffer.concat([head, Buffer.from(texts.map((text) => `${text}\0`).join(""))]);
  if (payload.length > maxExecBytes)
    throw invalid("argv", `argv and env are larger than ${maxExecBytes} bytes`);
  return payload;
}

function checkExec(spec: ExecSpec, env: [string, string][]): void {
  if (spec.argv.length === 0) throw invalid("argv", "it names no command");
  if (spec.argv.length > maxArgs) throw invalid("argv", `more than ${maxArgs} arguments`);
  if (env.length > maxEnv) throw invalid("env", `more than ${maxEnv} variables`);
  if (!spec.cwd.startsWith("/")) throw invalid("cwd", "it is not an absolute path");
  if (spec.cwd.includes("\0")) throw invalid("cwd", "it holds a NUL");
  if (spec.argv.some((argument) => argument.includes("\0"))) throw invalid("argv", "an argument holds a NUL");
  for (const [name, value] of env) {
    const bad = name === "" || name.includes("=") || name.includes("\0") || value.includes("\0");
    if (bad) throw invalid("env", `${JSON.stringify(name)} cannot be a variable`);
  }
}

function invalid(field: string, why: string): SallyportError {
  return new SallyportError("request_invalid", `${field}: ${why}`, { details: { field } });
}

export function credit(bytes: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes, 0);
  return payload;
}

/** cols u16, rows u16 */
export function size(to: { cols: number; rows: number }): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt16BE(clampU16(to.cols), 0);
  payload.writeUInt16BE(clampU16(to.rows), 2);
  return payload;
}

function clampU16(value: number): number {
  return Number.isFinite(value) ? Math.min(0xffff, Math.max(0, Math.trunc(value))) : 0;
}

/** A path with its NUL. What it may name is the guest's to decide; here only what could not be said is refused. */
export function encodePath(path: string): Buffer {
  const bytes = Buffer.from(`${path}\0`);
  const sayable =
    path !== "" && !path.includes("\0") && path.isWellFormed() && bytes.length <= maxPathBytes + 1;
  if (!sayable) {
    throw new SallyportError("file_refused", `${JSON.stringify(path.slice(0, 200))} is not a path`, {
      details: { path: path.slice(0, 200), fix: `name 1 to ${maxPathBytes} bytes without a NUL` },
    });
  }
  return bytes;
}

/** credit u32, then each port u16 */
export function encodePorts(ports: readonly number[], creditBytes: number): Buffer {
  if (ports.length > maxPorts) throw invalid("ports", `more than ${maxPorts}`);
  const payload = Buffer.alloc(4 + 2 * ports.length);
  payload.writeUInt32BE(creditBytes, 0);
  ports.forEach((port, index) => payload.writeUInt16BE(checkPort(port), 4 + 2 * index));
  return payload;
}

/** Passes a port through; throws `request_invalid`. */
export function checkPort(port: number): number {
  if (Number.isInteger(port) && port > 0 && port <= 0xffff) return port;
  throw invalid("port", `${port} is no port`);
}

export function u32(value: number): Buffer {
  return credit(value);
}

export function u64(value: number): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeBigUInt64BE(BigInt(value), 0);
  return payload;
}

/** The answer to a stat. */
export function readAnswer(payload: Buffer, path: string): FileStat {
  if (payload.length !== statBytes) throw violation("an answer of another length than a stat has");
  return readStat(payload, 0, path);
}

/** The answer to every other file call. */
export function readNothing(payload: Buffer): void {
  if (payload.length > 0) throw violation("an answer where none was asked for");
}

function readStat(payload: Buffer, offset: number, path: string): FileStat {
  if (payload.length - offset < statBytes) throw violation("a file entry that is cut off");
  const type = fileTypes[payload.readUInt8(offset) - 1];
  const bytes = Number(payload.readBigUInt64BE(offset + 5));
  const mtime = Number(payload.readBigInt64BE(offset + 13));
  if (type === undefined || !Number.isSafeInteger(bytes) || !Number.isSafeInteger(mtime)) {
    throw violation("a file entry that makes no sense");
  }
  return { path, type, mode: payload.readUInt32BE(offset + 1) & 0o7777, size: bytes, mtime };
}

/** Entries of one data frame of a listing: facts, name length u16, name. Names are read as UTF-8. */
export function readEntries(payload: Buffer, folder: string): FileStat[] {
  const entries: FileStat[] = [];
  for (let at = 0; at < payload.length;) {
    const end = at + statBytes + 2;
    if (payload.length < end) throw violation("a file entry that is cut off");
    const length = payload.readUInt16BE(at + statBytes);
    const name = payload.toString("utf8", end, end + length);
    if (payload.length < end + length || length === 0 || name.includes("/"))
      throw violation("a bad file name");
    entries.push(readStat(payload, at, folder === "." ? name : `${folder}/${name}`));
    at = end + length;
  }
  return entries;
}
