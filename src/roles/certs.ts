/** The certificates of a tunnel's folder, whether or not anything runs on it. */
import { initCertificates, renewCertificates } from "../tunnel/index.ts";
import { SallyportError } from "../errors.ts";

export type StateCerts = {
  init: typeof initCertificates;
  renew: typeof renewCertificates;
};

/** What the file system refuses is told by file, as a setting that cannot be used. */
export function openCerts(): StateCerts {
  return {
    init: (request) => told(initCertificates(request), request.dir),
    renew: (request) => told(renewCertificates(request), request.dir),
  };
}

async function told<T>(work: Promise<T>, dir: string): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof SallyportError) throw error;
    const message = error instanceof Error ? error.message : String(error);
    throw new SallyportError("config_invalid", message, {
      details: { file: dir, fix: "name a folder that can be read and written with --output" },
      cause: error,
    });
  }
}
