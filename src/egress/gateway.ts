import { createHttpFace, type HttpFace } from "../exchange/index.ts";
import { SallyportError } from "../errors.ts";
import { createAuthority } from "../tunnel/index.ts";
import type {
  Attachment,
  CallTold,
  Gateway,
  GatewayDeps,
  GatewayLimits,
  Grant,
  LoopbackListener,
  Subject,
} from "./contract.ts";
import { Leaves } from "./leaves.ts";
import { resolveGrants } from "./policy.ts";
import { RouteBook } from "./routes.ts";
import { SandboxNetwork, type Visit } from "./sandbox-network.ts";

/** TLS, HTTP, and the HTTP proxy that tools find by `HTTPS_PROXY` */
const ports = [443, 80, 3128];
/** The key of the authority is never on a disk and ends with the process. */
const authorityDays = 1_826;

const defaults: GatewayLimits = {
  connections: 64,
  connectionsPerSecond: 200,
  requestsPerSecond: 2_000,
  bytesFrom: 4 * 2 ** 30,
  bytesTo: 4 * 2 ** 30,
  headerBytes: 32 * 2 ** 10,
  judgedBytes: 16 * 2 ** 20,
  idleMs: 60_000,
  handshakeMs: 10_000,
};

export function createGateway(deps: GatewayDeps, limits: Partial<GatewayLimits> = {}): Gateway {
  return new LoopbackGateway(deps, { ...defaults, ...limits });
}

class LoopbackGateway implements Gateway {
  readonly caPem: string;
  readonly #deps: GatewayDeps;
  readonly #limits: GatewayLimits;
  readonly #leaves: Leaves;
  readonly #routes: RouteBook;
  readonly #face: HttpFace<Visit>;
  readonly #networks = new Set<SandboxNetwork>();

  constructor(deps: GatewayDeps, limits: GatewayLimits) {
    const authority = createAuthority({ commonName: "Sallyport gateway", days: authorityDays });
    this.caPem = authority.certPem;
    this.#deps = deps;
    this.#limits = limits;
    this.#leaves = new Leaves(authority);
    this.#routes = new RouteBook(deps);
    this.#face = createHttpFace<Visit>(
      {
        log: deps.log,
        handle: (request, { network, door }, signal) => network.handle(request, door, signal),
        connect: async (request, { network, door }) => network.connect(request, door),
      },
      { maxHeaderBytes: limits.headerBytes, headMs: limits.idleMs },
    );
  }

  hosts(): readonly string[] {
    return this.#routes.hosts();
  }

  onChange(listener: () => void): Disposable {
    return this.#routes.onChange(listener);
  }

  resolve(host: string): string {
    return this.#routes.resolve(host);
  }

  async attach(
    guest: LoopbackListener,
    subject: Subject,
    grants: readonly Grant[],
    onCall: (call: CallTold) => void = () => undefined,
  ): Promise<Attachment> {
    const resolved = resolveGrants(grants, (host) => this.resolve(host));
    const network = this.#open(subject, { grants: resolved, onCall });
    if (resolved.size === 0) return network;
    try {
      await guest.listen(ports, (socket) => network.accept(socket));
    } catch (error) {
      await network[Symbol.asyncDispose]();
      throw SallyportError.from(error);
    }
    return network;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#routes[Symbol.dispose]();
    await Promise.all([...this.#networks].map((network) => network[Symbol.asyncDispose]()));
    await this.#face[Symbol.asyncDispose]();
  }

  #open(
    subject: Subject,
    held: { grants: ReadonlyMap<string, Grant>; onCall: (call: CallTold) => void },
  ): SandboxNetwork {
    const { audit, log, clock = () => performance.now() } = this.#deps;
    const network: SandboxNetwork = new SandboxNetwork(
      {
        face: this.#face,
        contextFor: (host) => this.#leaves.contextFor(host),
        routes: this.#routes,
        audit,
        log,
        clock,
        gone: () => this.#networks.delete(network),
      },
      { subject, limits: this.#limits, ...held },
    );
    this.#networks.add(network);
    return network;
  }
}
