import { HubHttp, type HubAddress } from "./http.ts";
import { JobsClient, type Waiting } from "./jobs.ts";
import {
  profilesSchema,
  readySchema,
  routesSchema,
  workersSchema,
  type ProfileView,
  type ReadyView,
  type RouteView,
  type WorkerView,
} from "./views.ts";

/** One hub, as a client with one API key sees it. Holds nothing open between calls. */
export interface Client {
  readonly url: string;
  readonly jobs: JobsClient;
  readonly workers: {
    list(options?: Waiting): Promise<WorkerView[]>;
    /** The worker takes nothing new; what it runs goes on, at most for `deadline` (`"5m"`). Needs scope `admin`. */
    drain(id: string, options?: Waiting & { deadline?: string | undefined }): Promise<void>;
  };
  readonly profiles: { list(options?: Waiting): Promise<ProfileView[]> };
  readonly routes: { list(options?: Waiting): Promise<RouteView[]> };
  /** Whether the hub can do its work, and why not. */
  health(options?: Waiting): Promise<ReadyView>;
}

/**
 * Makes a client; nothing is sent before its first call. Every call throws `SallyportError`: what the hub answered, or
 * `hub_unreachable` when none did; an aborted `signal` throws its own reason. Throws `config_invalid` for a URL that is none.
 */
export function createClient(address: HubAddress): Client {
  const http = new HubHttp(address);
  return {
    url: http.url,
    jobs: new JobsClient(http),
    workers: {
      list: async (options = {}) => (await http.json(workersSchema, "/v1/workers", options)).workers,
      drain: async (id, options = {}) => {
        const body = options.deadline === undefined ? {} : { deadline: options.deadline };
        const where = `/v1/workers/${encodeURIComponent(id)}/drain`;
        const reply = await http.send(where, { method: "POST", body, signal: options.signal });
        reply.resume();
      },
    },
    profiles: {
      list: async (options = {}) => (await http.json(profilesSchema, "/v1/profiles", options)).profiles,
    },
    routes: { list: async (options = {}) => (await http.json(routesSchema, "/v1/routes", options)).routes },
    health: (options = {}) => http.json(readySchema, "/readyz", { accept: [503], ...options }),
  };
}
