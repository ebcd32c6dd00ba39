import type { JobSpec } from "../../protocol/index.ts";

/** Variables that an interpreter, its C library or common native modules read once, while they start */
const readAtStart =
  /^(PYTHON|NODE_|LD_|LC_|MALLOC_|OPENSSL_|SSL_CERT_|UV_|OMP_|KMP_|MKL_|OPENBLAS_|GOTO_|BLIS_|NUMEXPR_|VECLIB_)|^(LANG|LANGUAGE|LOCPATH|GCONV_PATH|GLIBC_TUNABLES|TZ|TZDIR|PATH|HOME)$/;

/** What Python looks for below the home folder while it starts */
const homeFolder = ".local";

/**
 * Whether an interpreter that started before the job came makes no difference to it: no variable that would have been read at
 * the start, and no file that would have been imported in the place of one of `names`, which are loaded.
 */
export function suits({ env, files }: Pick<JobSpec, "env" | "files">, names: ReadonlySet<string>): boolean {
  if (Object.keys(env).some((name) => readAtStart.test(name))) return false;
  return files.every(({ path }) => {
    const name = moduleName(path);
    return name === undefined || (name !== homeFolder && !names.has(name));
  });
}

/** The name a file of the workspace can be imported under, or is part of */
function moduleName(path: string): string | undefined {
  const [first = "", inside] = path.split("/");
  if (inside !== undefined) return first;
  return /\.(py|pyc|so)$/.test(first) ? first.split(".")[0] : undefined;
}
