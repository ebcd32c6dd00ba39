import type { LogStore } from "../contract.ts";
import { ownCopy } from "./thread.ts";
import type { Threads } from "./threads.ts";

export function logStore({ writer, reader }: Threads): LogStore {
  return {
    append: (lease, part) => {
      const bytes = ownCopy(...(part.bytes instanceof Uint8Array ? [part.bytes] : part.bytes));
      return writer.call("append", { ...part, lease, bytes }, [bytes]);
    },
    read: (jobId, attempt, from, maxBytes) => reader.call("readLog", { jobId, attempt, from, maxBytes }),
    locate: (jobId, attempt, stream, offset) => reader.call("locate", { jobId, attempt, stream, offset }),
    end: (jobId, attempt) => reader.call("logEnd", { jobId, attempt }),
    putArtifact: (lease, part) => {
      const bytes = ownCopy(part.bytes);
      return writer.call("putArtifact", { ...part, lease, bytes }, [bytes]);
    },
    artifacts: (jobId) => reader.call("artifacts", { jobId }),
  };
}
