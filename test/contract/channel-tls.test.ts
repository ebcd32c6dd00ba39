/** The channel over TLS: the authority given is the one trusted, and bytes arrive as they were sent. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { deferred } from "../../src/async/index.ts";
import { ChannelAcceptor, dialChannel, type Channel, type Dialect } from "../../src/channel/index.ts";
import { isError, SallyportError } from "../../src/errors.ts";
import { silentLog } from "../../src/log.ts";

type AnyChannel = Channel<object, object, object, object>;
const dialect: Dialect<object, object> = {
  message: (json) => json as object,
  stream: (json) => json as object,
};

const folder = mkdtempSync(join(tmpdir(), "channel-tls-"));
const made = spawnSync(
  "openssl",
  "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem".split(
    " ",
  ),
  { cwd: folder },
);
const pem =
  made.status === 0 ? ["key.pem", "cert.pem"].map((name) => readFileSync(join(folder, name), "utf8")) : [];
rmSync(folder, { recursive: true });
const [key = "", cert = ""] = pem;

test(
  "over TLS",
  { skip: made.status !== 0 && "needs the openssl command to make a certificate" },
  async () => {
    const server = createServer({ key, cert });
    const accepted = deferred<AnyChannel>();
    const acceptor = new ChannelAcceptor<null, object, object, object, object>({
      server,
      dialect,
      log: silentLog(),
      authorize: () => Promise.resolve(null),
      onChannel: (channel) => accepted.resolve(channel),
    });
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    const url = `https://localhost:${(server.address() as AddressInfo).port}`;

    await assert.rejects(dialChannel({ url, token: "t", dialect, log: silentLog() }), (error) => {
      assert.ok(isError(error, "hub_unreachable"));
      assert.match(String(error.details["fix"]), /certificate authority/);
      return true;
    });

    const near: AnyChannel = await dialChannel({ url, token: "t", dialect, log: silentLog(), ca: cert });
    const far = await accepted.promise;
    const bytes = randomBytes(5_000_000);
    const arrived = deferred<Buffer>();
    far.listen({
      message: () => undefined,
      stream: (stream) => {
        void (async () => {
          const chunks: Uint8Array[] = [];
          for await (const chunk of stream.chunks) {
            chunks.push(chunk);
            stream.grant(chunk.length);
          }
          stream.finish();
          arrived.resolve(Buffer.concat(chunks));
        })();
      },
    });
    const stream = near.open({});
    await stream.write(bytes);
    stream.end();
    await stream.finished;
    assert.ok((await arrived.promise).equals(bytes));
    await near.close(new SallyportError("shutting_down", "done"));
    await acceptor[Symbol.asyncDispose]();
    await new Promise((resolve) => void server.close(resolve));
  },
);
