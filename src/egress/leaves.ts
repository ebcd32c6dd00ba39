/** Certificates towards sandboxes: one per host, made when it is first asked for. */
import { createSecureContext, type SecureContext } from "node:tls";
import type { Authority } from "../tunnel/index.ts";

const maxLeaves = 256;

export class Leaves {
  readonly #authority: Pick<Authority, "issueLeaf">;
  /** by host, the one used longest ago first */
  readonly #contexts = new Map<string, SecureContext>();

  constructor(authority: Pick<Authority, "issueLeaf">) {
    this.#authority = authority;
  }

  get size(): number {
    return this.#contexts.size;
  }

  /** `host` is canonical. */
  contextFor(host: string): SecureContext {
    const context = this.#contexts.get(host) ?? this.#make(host);
    this.#contexts.delete(host);
    this.#contexts.set(host, context);
    const [oldest] = this.#contexts.keys();
    if (this.#contexts.size > maxLeaves && oldest !== undefined) this.#contexts.delete(oldest);
    return context;
  }

  #make(host: string): SecureContext {
    const { certPem, keyPem } = this.#authority.issueLeaf(host);
    return createSecureContext({ cert: certPem, key: keyPem, minVersion: "TLSv1.2" });
  }
}
