/** The worker's side of the protocol over a real channel, without sandboxes, and with ways to misbehave. */
import { deferred } from "../../src/async/index.ts";
import { dialChannel, workerDialect, type WorkerChannel } from "../../src/channel/index.ts";
import type { SallyportError } from "../../src/errors.ts";
import { SallyportError as Failure } from "../../src/errors.ts";
import { silentLog } from "../../src/log.ts";
import {
  leasesHash,
  sameLease,
  turnOf,
  type HubMessage,
  type HubStream,
  type LeaseRef,
  type ProfileOffer,
  type WorkerMessage,
  type WorkerStream,
} from "../../src/protocol/index.ts";
import { SimulatedJob, steered } from "./simulated-worker-job.ts";

export { SimulatedJob, steered };

type Welcome = Extract<HubMessage, { type: "welcome" }>;

export interface SimulatedWorkerOptions {
  url: string;
  token: string;
  workerId?: string;
  bootId?: string;
  life?: number;
  slots?: number;
  memory?: number;
  labels?: Record<string, string>;
  profiles?: ProfileOffer[];
  protocol?: { min: number; max: number };
  /** `silent`: offers are never answered */
  offers?: "accept" | "silent";
  heartbeats?: boolean;
  /** What a job does; the default prints a line and exits with 0 */
  run?: (job: SimulatedJob) => Promise<void>;
}

export function profileOffer(name: string, over: Partial<ProfileOffer> = {}): ProfileOffer {
  return {
    name,
    digest: `sha256:${name}`,
    shape: "shell",
    image: `sallyport/${name}`,
    runtime: "runc",
    lifecycle: "job",
    languages: name === "python" ? ["python"] : [],
    resources: { cpus: 1, memory: 2 ** 20, pids: 64, workspace: 2 ** 20, tmp: 2 ** 20, gpus: 0 },
    limits: { wallClock: 60_000, output: 2 ** 30, artifacts: 2 ** 26 },
    mcp: [{ host: "*" }],
    warm: 0,
    unusable: null,
    ...over,
  };
}

export class SimulatedWorker implements AsyncDisposable {
  readonly options: SimulatedWorkerOptions;
  readonly workerId: string;
  readonly bootId: string;
  readonly held = new Map<string, SimulatedJob>();
  /** every message the hub sent, in order */
  readonly received: HubMessage[] = [];
  offers: "accept" | "silent";
  channel: WorkerChannel | undefined;
  #beat: NodeJS.Timeout | undefined;
  #seq = 0;
  #turn = 0;

  private constructor(options: SimulatedWorkerOptions) {
    this.options = options;
    this.workerId = options.workerId ?? "worker-1";
    this.bootId = options.bootId ?? `boot-${Math.random()}`;
    this.offers = options.offers ?? "accept";
  }

  static async start(options: SimulatedWorkerOptions): Promise<SimulatedWorker> {
    const worker = new SimulatedWorker(options);
    await worker.connect();
    return worker;
  }

  /** Dials and says hello; resolves with the welcome, rejects with the reason the hub closed for. */
  async connect(url = this.options.url, hello = this.hello()): Promise<Welcome> {
    const channel: WorkerChannel = await dialChannel<WorkerMessage, HubMessage, WorkerStream, HubStream>({
      url,
      token: this.options.token,
      dialect: workerDialect,
      log: silentLog(),
    });
    const welcome = deferred<Welcome>();
    channel.listen({
      message: (message) => {
        this.received.push(message);
        if (message.type === "welcome") welcome.resolve(message);
        else this.#answer(channel, message);
      },
      stream: (stream) => {
        if ("lease" in stream.meta) this.held.get(stream.meta.lease)?.streamOpened(stream);
      },
    });
    void channel.closed.then((reason: SallyportError) => welcome.reject(reason));
    clearInterval(this.#beat);
    this.channel = channel;
    channel.send(hello);
    const accepted = await welcome.promise;
    for (const verdict of accepted.verdicts) {
      const job = this.#holding(verdict);
      if (verdict.verdict === "continue") job?.attach(channel, verdict.from);
      else job?.forget();
    }
    if (this.options.heartbeats !== false) {
      this.#beat = setInterval(() => this.heartbeat(), accepted.intervals.heartbeatMs);
    }
    return accepted;
  }

  send(message: WorkerMessage): void {
    this.channel?.send(message);
  }

  heartbeat(): void {
    const { slots = 8, memory = 2 ** 30, profiles = [] } = this.options;
    this.send({
      type: "heartbeat",
      seq: (this.#seq += 1),
      leasesHash: leasesHash([...this.held.values()].map((job) => job.lease)),
      free: { slots: slots - this.held.size, memory },
      warm: Object.fromEntries(profiles.map(({ name, warm }) => [name, warm])),
    });
  }

  /** Cuts the connection without a word; heartbeats stop. */
  vanish(): void {
    clearInterval(this.#beat);
    this.channel?.abort(new Failure("channel_closed", "vanished"));
  }

  of<T extends HubMessage["type"]>(type: T): Extract<HubMessage, { type: T }>[] {
    return this.received.filter((message) => message.type === type) as Extract<HubMessage, { type: T }>[];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#beat);
    await this.channel?.close(new Failure("channel_closed", "test over"));
  }

  /** What it says of itself now, told once. */
  hello(): WorkerMessage {
    this.#turn += 1;
    const {
      slots = 8,
      memory = 2 ** 30,
      labels = {},
      profiles,
      protocol = { min: 1, max: 1 },
    } = this.options;
    return {
      type: "hello",
      protocol,
      workerId: this.workerId,
      bootId: this.bootId,
      turn: turnOf(this.options.life ?? 0, this.#turn),
      version: "0.0.0-test",
      labels,
      capacity: { slots, memory, cpus: 2 },
      profiles: profiles ?? [profileOffer("shell"), profileOffer("python")],
      routes: [],
      leases: [...this.held.values()].map((job) => ({
        ...job.lease,
        kind: "job",
        from: job.acked,
        to: job.log.length,
      })),
    };
  }

  /** Exactly this grant of a job, or nothing */
  #holding(ref: LeaseRef): SimulatedJob | undefined {
    const job = this.held.get(ref.lease);
    return job !== undefined && sameLease(job.lease, ref) ? job : undefined;
  }

  #answer(channel: WorkerChannel, message: HubMessage): void {
    if (message.type === "offer" && this.offers === "accept") {
      const job = new SimulatedJob(this, message);
      this.held.set(message.lease, job);
      channel.send({ type: "offer.accept", ...job.lease });
      job.attach(channel, 0);
    }
    if (message.type === "lease.confirmed") {
      const job = this.#holding(message);
      if (job !== undefined) void (this.options.run ?? printAndExit)(job).catch(() => undefined);
    }
    if (message.type === "lease.cancel") {
      const job = this.#holding(message);
      job?.cancelled.resolve(message.reason);
      if (message.reason === "superseded") job?.forget();
    }
    if (message.type === "lease.done") this.#holding(message)?.done.resolve(message.outcome);
    if (message.type === "leases.request") {
      const leases = [...this.held.values()].map((job) => ({
        ...job.lease,
        kind: "job" as const,
        from: job.acked,
        to: job.log.length,
      }));
      channel.send({ type: "leases", leases });
    }
    if (message.type === "leases.verdicts") {
      for (const verdict of message.verdicts)
        if (verdict.verdict !== "continue") this.#holding(verdict)?.forget();
    }
  }
}

async function printAndExit(job: SimulatedJob): Promise<void> {
  job.started();
  job.print("stdout", "hello\n");
  await job.exit();
}
