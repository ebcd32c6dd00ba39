import { resolve } from "node:path";
import { exitCodes } from "../exit-codes.ts";
import { bind, examples, group, withJson, type Register } from "../command.ts";
import type { CertificateFolder, Context } from "../context.ts";
import { usageError } from "../failure.ts";
import { table } from "../table.ts";

interface CertFlags {
  domain: string;
  output: string;
  duration: string;
  renewBefore: string;
  json?: boolean;
}

const dayMs = 86_400_000;

export const registerCerts: Register = (parent, dispatch) => {
  const certs = group(parent, "certs", "make and renew the certificates of a tunnel's inner TLS");
  const init = certs
    .command("init")
    .description(
      "make ca.crt, ca.key, tls.crt and tls.key; an authority that is there signs on, and only what it signed is replaced",
    )
    .requiredOption("--domain <domain>", "the tunnel domain; the certificate is good for it and *.<domain>")
    .requiredOption("--output <dir>", "where the files go")
    .option("--duration <duration>", "how long the server certificate is good", "2160h");
  examples(
    withJson(init),
    "sallyport certs init --domain tunnel.example.com --output certs",
    "openssl x509 -in certs/tls.crt -noout -text",
  );
  bind<CertFlags>(init, dispatch, initCerts);
  const renew = certs
    .command("renew")
    .description(
      "sign tls.crt anew with the stored authority, for the same names and key; a running proxy notices",
    )
    .requiredOption("--output <dir>", "the folder that `certs init` filled")
    .option("--renew-before <duration>", "keep a certificate that is good for longer; 0 keeps none", "720h")
    .option("--duration <duration>", "how long the new certificate is good", "2160h");
  examples(
    withJson(renew),
    "sallyport certs renew --output certs",
    "0 4 * * * sallyport certs renew --output /etc/sallyport/certs --renew-before 720h",
  );
  bind<CertFlags>(renew, dispatch, renewCerts);
};

async function initCerts(context: Context, flags: CertFlags): Promise<number> {
  const certs = await context.roles.certs();
  const days = await daysOf(flags.duration, "--duration");
  const folder = await certs.init({ dir: resolve(context.cwd, flags.output), domain: flags.domain, days });
  return await report(context, folder, flags.json === true);
}

async function renewCerts(context: Context, flags: CertFlags): Promise<number> {
  const certs = await context.roles.certs();
  const days = await daysOf(flags.duration, "--duration");
  const renewBeforeDays = flags.renewBefore === "0" ? 0 : await daysOf(flags.renewBefore, "--renew-before");
  const folder = await certs.renew({ dir: resolve(context.cwd, flags.output), days, renewBeforeDays });
  return await report(context, folder, flags.json === true);
}

async function daysOf(text: string, flag: string): Promise<number> {
  const { durationFlag } = await import("../../config/index.ts");
  const days = durationFlag(text, flag) / dayMs;
  if (days <= 36_500) return days;
  throw usageError(`${flag}: ${text} is longer than a hundred years`, "write less, such as 2160h");
}

async function report(context: Context, folder: CertificateFolder, json: boolean): Promise<number> {
  if (json) {
    await context.stdout.json(folder);
    return exitCodes.ok;
  }
  const rows = [folder.authority, folder.server].map(({ done, file, expiresAt, fingerprint }) => [
    done,
    file,
    expiresAt,
    fingerprint,
  ]);
  await context.stdout.line(table(["DONE", "FILE", "EXPIRES", "SHA-256"], rows));
  return exitCodes.ok;
}
