import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { test } from "node:test";
import { createServer as createTlsServer, createSecureContext, TLSSocket, type TlsOptions } from "node:tls";
import { isError, type SallyportError } from "../../../../src/errors.ts";
import {
  createAuthority,
  createGuard,
  dialUpstream,
  type DialOptions,
} from "../../../../src/tunnel/index.ts";

const never = new AbortController().signal;
const authority = createAuthority({ commonName: "Upstream CA", days: 1 });
const trust = createSecureContext({ ca: authority.certPem });

interface Listener extends AsyncDisposable {
  readonly port: number;
  /** SNI of each connection, or null in plain TCP */
  readonly seen: (string | null)[];
  /** The next connection that ends */
  closed(): Promise<unknown>;
}

async function listen(
  address: string,
  options: { tls?: TlsOptions; port?: number; says?: string } = {},
): Promise<Listener> {
  const seen: (string | null)[] = [];
  const open = new Set<Socket>();
  const ended = Promise.withResolvers<undefined>();
  const note = (socket: Socket): void => {
    open.add(socket);
    socket
      .on("error", () => undefined)
      .on("close", () => {
        open.delete(socket);
        ended.resolve(undefined);
      });
    seen.push(socket instanceof TLSSocket ? String(socket.servername) : null);
    socket.resume();
    if (options.says !== undefined) socket.write(options.says);
  };
  const server: Server = options.tls === undefined ? createServer(note) : createTlsServer(options.tls, note);
  server.on("tlsClientError", () => undefined);
  server.listen(options.port ?? 0, address);
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    closed: () => ended.promise,
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** Allowed: 127.0.0.1. Everything else on loopback plays the part of what must not be reached. */
function options(answers: readonly string[], rest: Partial<DialOptions> = {}): DialOptions {
  const guard = createGuard({ allowedIps: ["127.0.0.1"], disableIpValidation: false }, async () => answers);
  return { guard, trust: null, signal: never, ...rest };
}

async function failure(dialling: Promise<Socket>): Promise<SallyportError> {
  const outcome: unknown = await dialling.then(
    (socket) => socket.destroy(),
    (error: unknown) => error,
  );
  assert.ok(isError(outcome), String(outcome));
  return outcome;
}

const http = (port: number) => ({ scheme: "http" as const, host: "docs.internal", port });
const https = (port: number) => ({ scheme: "https" as const, host: "docs.internal", port });
const certified = (host: string): TlsOptions => {
  const { certPem, keyPem } = authority.issueLeaf(host);
  return { cert: certPem, key: keyPem };
};

test("the address that was checked is the one that is reached", async () => {
  await using upstream = await listen("127.0.0.1");
  const socket = await dialUpstream(http(upstream.port), options(["127.0.0.1"]));
  assert.equal(socket.remoteAddress, "127.0.0.1");
  socket.destroy();
});

test("nothing reaches an address that is not allowed, though it is there to be reached", async () => {
  await using canary = await listen("127.0.0.2", { says: "reached" });
  for (const answers of [
    ["127.0.0.2"],
    ["127.0.0.1", "127.0.0.2"],
    ["127.0.0.2", "127.0.0.1"],
    ["::ffff:127.0.0.2"],
  ]) {
    assert.equal(
      (await failure(dialUpstream(http(canary.port), options(answers)))).code,
      "upstream_address_denied",
    );
  }
  assert.deepEqual(canary.seen, []);
  const guard = createGuard({ allowedIps: ["127.0.0.2"], disableIpValidation: false }, async () => [
    "127.0.0.2",
  ]);
  const control = await dialUpstream(http(canary.port), options([], { guard }));
  await once(control, "data");
  control.destroy();
  assert.equal(canary.seen.length, 1, "the canary can be reached");
});

test("a name that is resolved anew between check and dial gains nothing", async () => {
  await using upstream = await listen("127.0.0.1");
  await using canary = await listen("127.0.0.2", { port: upstream.port });
  const answers = [["127.0.0.1"], ["127.0.0.2"]];
  let asked = 0;
  const guard = createGuard({ allowedIps: ["127.0.0.1"], disableIpValidation: false }, async () => {
    asked += 1;
    return answers[(asked - 1) % 2] ?? [];
  });
  const socket = await dialUpstream(http(upstream.port), options([], { guard }));
  assert.equal(asked, 1, "one dial resolves once");
  assert.equal(socket.remoteAddress, "127.0.0.1");
  socket.destroy();
  assert.equal(
    (await failure(dialUpstream(http(upstream.port), options([], { guard })))).code,
    "upstream_address_denied",
  );
  assert.deepEqual(canary.seen, []);
});

test("an address that does not answer gives way to the next one", async () => {
  await using upstream = await listen("127.0.0.1");
  const guard = createGuard({ allowedIps: ["127.0.0.0/8"], disableIpValidation: false }, async () => [
    "127.0.0.3",
    "127.0.0.1",
  ]);
  const socket = await dialUpstream(http(upstream.port), options([], { guard }));
  assert.equal(socket.remoteAddress, "127.0.0.1");
  socket.destroy();
});

test("a port where nobody listens is told as the dial's failure", async () => {
  const gone = await listen("127.0.0.1");
  await gone[Symbol.asyncDispose]();
  const error = await failure(dialUpstream(http(gone.port), options(["127.0.0.1"])));
  assert.equal(error.code, "upstream_unreachable");
  assert.equal(error.details["layer"], "dial");
  assert.match(error.message, /ECONNREFUSED/);
  assert.match(String(error.details["fix"]), /^start the upstream/);
});

test("an upstream that takes too long is unreachable, not a deadline of the caller's", async () => {
  const guard = createGuard(
    { allowedIps: ["127.0.0.1"], disableIpValidation: false },
    () => new Promise(() => undefined),
  );
  const error = await failure(dialUpstream(http(80), options([], { guard, connectMs: 20 })));
  assert.deepEqual([error.code, error.details["layer"]], ["upstream_unreachable", "dial"]);
  assert.match(error.message, /connecting to docs\.internal:80/);
});

test("TLS names the host, not the address, and believes a certificate for that name", async () => {
  await using upstream = await listen("127.0.0.1", { tls: certified("docs.internal"), says: "hello" });
  const socket = await dialUpstream(https(upstream.port), options(["127.0.0.1"], { trust }));
  assert.ok(socket instanceof TLSSocket && socket.authorized);
  await once(socket, "data");
  socket.destroy();
  assert.deepEqual(upstream.seen, ["docs.internal"]);
});

test("a certificate for another name, of another CA, or that nobody vouches for is not believed", async () => {
  const other = createAuthority({ commonName: "Other CA", days: 1 }).issueLeaf("docs.internal");
  await using misnamed = await listen("127.0.0.1", { tls: certified("wiki.internal") });
  await using foreign = await listen("127.0.0.1", { tls: { cert: other.certPem, key: other.keyPem } });
  for (const [port, anchors, message] of [
    [misnamed.port, trust, /wiki\.internal/],
    [foreign.port, trust, /certificate/],
    [misnamed.port, null, /no trust anchor/],
  ] as const) {
    const error = await failure(dialUpstream(https(port), options(["127.0.0.1"], { trust: anchors })));
    assert.equal(error.code, "certificate_invalid");
    assert.match(error.message, message);
    assert.equal(error.details["layer"], "upstream_tls");
  }
});

test("an upstream that does not speak TLS is told as TLS's failure, not as a bad certificate", async () => {
  await using plain = await listen("127.0.0.1");
  await using talker = await listen("127.0.0.1", { says: "HTTP/1.1 400 Bad Request\r\n\r\n" });
  const spoken = await failure(dialUpstream(https(talker.port), options(["127.0.0.1"], { trust })));
  assert.equal(spoken.code, "upstream_unreachable");
  assert.equal(spoken.details["layer"], "upstream_tls");
  assert.match(spoken.message, /: wrong version number$/);
  assert.match(String(spoken.details["fix"]), /speaks TLS/);
  const silent = await failure(
    dialUpstream(https(plain.port), options(["127.0.0.1"], { trust, connectMs: 100 })),
  );
  assert.equal(silent.code, "upstream_unreachable");
  assert.equal(silent.details["layer"], "upstream_tls");
  assert.match(silent.message, /connecting to docs\.internal/, "what ran out");
});

test("a failed handshake is the upstream's answer: no other address is tried for it", async () => {
  await using misnamed = await listen("127.0.0.1", { tls: certified("wiki.internal") });
  await using other = await listen("127.0.0.2", { port: misnamed.port, tls: certified("docs.internal") });
  const guard = createGuard({ allowedIps: ["127.0.0.0/8"], disableIpValidation: false }, async () => [
    "127.0.0.1",
    "127.0.0.2",
  ]);
  const error = await failure(dialUpstream(https(misnamed.port), options([], { guard, trust })));
  assert.equal(error.code, "certificate_invalid");
  assert.deepEqual(other.seen, []);
});

test("an address is no server name: none is sent, and the certificate must name it", async () => {
  const names: string[] = [];
  const tls: TlsOptions = {
    ...certified("docs.internal"),
    SNICallback: (name, done) => {
      names.push(name);
      done(null);
    },
  };
  await using upstream = await listen("127.0.0.1", { tls });
  const at = { ...https(upstream.port), host: "127.0.0.1" };
  assert.equal((await failure(dialUpstream(at, options([], { trust })))).code, "certificate_invalid");
  assert.deepEqual(names, []);
  const named = await dialUpstream(https(upstream.port), options(["127.0.0.1"], { trust }));
  named.destroy();
  assert.deepEqual(names, ["docs.internal"], "control");
});

test("a dial that is given up ends with the caller's reason and leaves no connection", async () => {
  await using upstream = await listen("127.0.0.1");
  const closed = upstream.closed();
  const caller = new AbortController();
  const dialling = dialUpstream(
    https(upstream.port),
    options(["127.0.0.1"], { trust, signal: caller.signal }),
  );
  const ended = assert.rejects(dialling, { message: "enough" });
  setTimeout(() => caller.abort(new Error("enough")), 20);
  await ended;
  await closed;
});
