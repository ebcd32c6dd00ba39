/** Linux numbers as the guest sends them, whatever system the host runs on. */
import { SallyportError, type ErrorCode } from "../../errors.ts";

/** include/uapi/asm-generic/errno-base.h and errno.h */
const errnoNames: Readonly<Record<number, string>> = {
  1: "EPERM",
  2: "ENOENT",
  5: "EIO",
  6: "ENXIO",
  7: "E2BIG",
  8: "ENOEXEC",
  11: "EAGAIN",
  12: "ENOMEM",
  13: "EACCES",
  16: "EBUSY",
  17: "EEXIST",
  18: "EXDEV",
  20: "ENOTDIR",
  21: "EISDIR",
  22: "EINVAL",
  23: "ENFILE",
  24: "EMFILE",
  26: "ETXTBSY",
  27: "EFBIG",
  28: "ENOSPC",
  30: "EROFS",
  32: "EPIPE",
  36: "ENAMETOOLONG",
  39: "ENOTEMPTY",
  40: "ELOOP",
  75: "EOVERFLOW",
  97: "EAFNOSUPPORT",
  98: "EADDRINUSE",
  103: "ECONNABORTED",
  104: "ECONNRESET",
  110: "ETIMEDOUT",
  111: "ECONNREFUSED",
  116: "ESTALE",
  122: "EDQUOT",
  125: "ECANCELED",
};

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or folder",
  ENXIO: "it is a socket",
  EAGAIN: "the sandbox can hold no more processes or calls",
  ENOMEM: "the sandbox has no memory left",
  EACCES: "permission denied",
  EBUSY: "it is a root folder or changes meanwhile",
  EEXIST: "something else has that name",
  EXDEV: "it cannot be moved to another file system",
  ENOTDIR: "a part of the path is no folder, or a link",
  EISDIR: "it is a folder",
  EINVAL: "it is outside the writable folders or no regular file",
  EMFILE: "the sandbox has too many files open",
  EFBIG: "the file is larger than allowed",
  ENOSPC: "the disk of the sandbox is full",
  EROFS: "the file system is read-only",
  ENAMETOOLONG: "the path or a name in it is too long, or the tree too deep",
  ENOTEMPTY: "the folder is not empty",
  ELOOP: "it is a link, and links are not followed",
  EOVERFLOW: "the folder holds too many entries",
  ENOEXEC: "it is not in a format the system can run",
  ECANCELED: "it was cancelled",
  EADDRINUSE: "a program holds the port",
  ECONNREFUSED: "nothing listens there",
};

const fullErrors = new Set([
  "ENOSPC",
  "EDQUOT",
  "EFBIG",
  "EOVERFLOW",
  "EMFILE",
  "ENFILE",
  "ENOMEM",
  "EAGAIN",
]);

export function errnoName(errno: number): string {
  return errnoNames[errno] ?? `errno ${errno}`;
}

function describe(name: string): string {
  return reasons[name] ?? name;
}

/** The error of a file call that the guest answered with `errno`. */
export function fileError(path: string, errno: number): SallyportError {
  const name = errnoName(errno);
  const code = name === "ENOENT" ? "file_unknown" : name === "ECANCELED" ? "cancelled" : undefined;
  const other: ErrorCode = fullErrors.has(name) ? "capacity_exhausted" : "file_refused";
  return new SallyportError(code ?? other, `${path}: ${describe(name)}`, { details: { path, errno: name } });
}

/** Which step of starting a command failed, as the guest tells it. */
export const stages = { call: 0, cwd: 1, command: 2, spawn: 3 } as const;

/** The error of an exec that never started. */
export function startError(
  spec: { argv: readonly string[]; cwd: string },
  stage: number,
  errno: number,
): SallyportError {
  const name = errnoName(errno);
  const command = spec.argv[0] ?? "";
  const full = fullErrors.has(name);
  if (stage === stages.cwd) {
    return new SallyportError("request_invalid", `cwd ${spec.cwd}: ${describe(name)}`, {
      details: { field: "cwd", errno: name, fix: "name a folder that exists in the sandbox" },
    });
  }
  if (stage !== stages.command || full) {
    return new SallyportError(full ? "capacity_exhausted" : "internal", `${command}: ${describe(name)}`, {
      details: { errno: name },
    });
  }
  if (name === "E2BIG") {
    return new SallyportError("request_invalid", "argv and env together are larger than the system takes", {
      details: { field: "argv", errno: name, fix: "pass large inputs as files or on stdin" },
    });
  }
  const code = name === "ENOENT" ? "command_not_found" : "command_not_executable";
  return new SallyportError(code, `${command}: ${describe(name)}`, {
    details: { field: "argv", errno: name },
  });
}

/** The error of a `listen` that failed at `port`. */
export function listenError(port: number, errno: number): SallyportError {
  const name = errnoName(errno);
  const full = name === "EADDRINUSE" || fullErrors.has(name);
  const message = `port ${port} of the sandbox: ${describe(name)}`;
  return new SallyportError(full ? "capacity_exhausted" : "internal", message, {
    details: { port, errno: name },
  });
}

/** The error of a `connect` that failed. */
export function connectError(port: number, errno: number): SallyportError {
  const name = errnoName(errno);
  const code = fullErrors.has(name) ? "capacity_exhausted" : "upstream_unreachable";
  return new SallyportError(code, `port ${port} of the sandbox: ${describe(name)}`, {
    details: { port, errno: name },
  });
}

/** What a socket is destroyed with when the program resets its end. */
export function resetError(port: number, errno: number): SallyportError {
  return new SallyportError("stream_reset", `port ${port} of the sandbox: the program reset the connection`, {
    details: { port, errno: errnoName(errno) },
  });
}
