/** Why `path` cannot be opened, in the words the documentation has for it. */
export function openFailure(path: string, error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const known: Record<string, string> = {
    EACCES: "permission denied",
    ENOENT: "no such file or directory",
    EISDIR: "is a directory",
  };
  return `open ${path}: ${known[code ?? ""] ?? code ?? message}`;
}
