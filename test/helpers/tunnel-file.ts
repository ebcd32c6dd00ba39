/** A folder with a tunnel file and what it names, and the refusals that reading it ends in. */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readTunnelFile, type TunnelFileOptions } from "../../src/config/index.ts";
import { isError, SallyportError } from "../../src/errors.ts";
import { createAuthority, type TunnelConfig } from "../../src/tunnel/index.ts";

const { certPem, keyPem } = createAuthority({ commonName: "Test CA", days: 1 });

export { certPem, keyPem };

export interface Folder extends Disposable {
  readonly path: string;
  put(name: string, content: string, mode?: number): string;
  read(yaml: string, options?: Partial<TunnelFileOptions>): Promise<TunnelConfig>;
}

export function folder(): Folder {
  const path = mkdtempSync(join(tmpdir(), "sallyport-tunnel-file-"));
  const put = (name: string, content: string, mode = 0o600): string => {
    writeFileSync(join(path, name), content);
    chmodSync(join(path, name), mode);
    return join(path, name);
  };
  put("ca.crt", certPem);
  put("tls.crt", certPem);
  put("tls.key", keyPem);
  put("token", "s3cret\n");
  return {
    path,
    put,
    read: (yaml, options = {}) => readTunnelFile(put("tunnel.yaml", yaml), { need: "worker", ...options }),
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}

export async function failure(reading: Promise<unknown>): Promise<SallyportError> {
  const error: unknown = await reading.then(
    () => assert.fail("it was accepted"),
    (thrown: unknown) => thrown,
  );
  assert.ok(isError(error, "config_invalid"), String(error));
  return error;
}

/** The reading fails at `line` with a message that holds `text`, and says how to mend it. */
export async function refuses(
  yaml: string,
  line: number,
  text: string,
  options?: Partial<TunnelFileOptions>,
): Promise<void> {
  using files = folder();
  const error = await failure(files.read(yaml, options));
  const said = `${error.message} at ${String(error.details["line"])}`;
  assert.ok(error.message.includes(text), `${said}; expected ${text}`);
  assert.equal(error.details["line"], line, said);
  assert.ok(error.message.startsWith(`${join(files.path, "tunnel.yaml")}:${line}: `), said);
  assert.ok(String(error.details["fix"]).length > 0);
}

export const route = (value: string): string => `tunnel_domain: t.example\nroutes:\n  docs: ${value}\n`;
export const withUpstream = (...lines: string[]): string =>
  `${route("http://docs:80")}upstream:\n${lines.map((line) => `  ${line}\n`).join("")}`;
export const withOurs = (...lines: string[]): string =>
  `${route("http://docs:80")}sallyport:\n${lines.map((line) => `  ${line}\n`).join("")}`;
