/** A folder with a tunnel's authority and server certificate: `ca.crt`, `ca.key`, `tls.crt`, `tls.key`. */
import { createPrivateKey, randomUUID, X509Certificate } from "node:crypto";
import { open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { isError, SallyportError } from "../../errors.ts";
import { makeFolders } from "../../folder.ts";
import { canonicalHost } from "../hosts.ts";
import { createAuthority, openAuthority, type Authority, type ServerKey } from "./authority.ts";
import { checkServerCertificate, dnsNames, fingerprintOf } from "./check.ts";

export interface InitRequest {
  readonly dir: string;
  readonly domain: string;
  readonly days: number;
  /** `rsa-4096` by default, as documented */
  readonly key?: ServerKey;
}

export interface RenewRequest {
  readonly dir: string;
  readonly days: number;
  /** A certificate that is good for longer is kept; 0: none is */
  readonly renewBeforeDays: number;
}

export interface CertificateState {
  readonly done: "made" | "renewed" | "kept";
  readonly file: string;
  /** SHA-256 of the DER, lower-case hexadecimal */
  readonly fingerprint: string;
  readonly expiresAt: string;
}

export interface CertificateFolder {
  readonly dir: string;
  readonly domain: string;
  readonly authority: CertificateState;
  readonly server: CertificateState;
}

/** Five years, as documented */
const authorityDays = 1_826;
const dayMs = 86_400_000;

/**
 * Makes what is missing: an authority that is there signs on, and a server certificate of it that is good for the domain is
 * kept. Throws `config_invalid` or `certificate_invalid` rather than replace a file that is not this authority's.
 */
export async function initCertificates({ dir, domain, days, key }: InitRequest): Promise<CertificateFolder> {
  const host = readDomain(domain);
  await makeFolders(dir, 0o700);
  const stored = await readAuthority(dir);
  const current = await readServer(dir);
  if (stored === undefined && current !== undefined)
    throw foreign(dir, "tls.crt and tls.key", "ca.crt and ca.key");
  const authority = stored ?? (await makeAuthority(dir, host));
  const fault = current && serverFault(current.certPem, authority, host);
  if (current !== undefined && fault?.details["reason"] === "signed_by_another") {
    throw foreign(dir, "tls.crt", "the authority in ca.crt");
  }
  const kept = current !== undefined && fault === undefined;
  const issued = kept
    ? current
    : await authority.issueServerCertificate({ domain: host, days, ...(key && { key }) });
  if (!kept) {
    await put(join(dir, "tls.key"), issued.keyPem, 0o600);
    await put(join(dir, "tls.crt"), issued.certPem, 0o644);
  }
  return {
    dir,
    domain: host,
    authority: stateOf(dir, "ca.crt", authority.certPem, stored === undefined ? "made" : "kept"),
    server: stateOf(dir, "tls.crt", issued.certPem, kept ? "kept" : "made"),
  };
}

/**
 * Signs the server certificate anew, for the names it has and the key it has: one file is replaced at once, so at no moment do
 * certificate and key differ. Needs nothing but the folder.
 */
export async function renewCertificates(request: RenewRequest): Promise<CertificateFolder> {
  const { dir, days, renewBeforeDays } = request;
  const authority = await readAuthority(dir);
  const current = await readServer(dir);
  if (authority === undefined || current === undefined) {
    const fix = `make them with \`sallyport certs init --domain DOMAIN --output ${dir}\``;
    throw new SallyportError("config_invalid", `${dir} holds no authority and server certificate`, {
      details: { file: dir, fix },
    });
  }
  const domain = domainOf(current.certPem, join(dir, "tls.crt"));
  const fault = serverFault(current.certPem, authority, domain);
  if (fault?.details["reason"] === "signed_by_another")
    throw foreign(dir, "tls.crt", "the authority in ca.crt");
  const left = new X509Certificate(current.certPem).validToDate.getTime() - Date.now();
  const kept = fault === undefined && renewBeforeDays > 0 && left > renewBeforeDays * dayMs;
  const renewed = kept
    ? current
    : await authority.issueServerCertificate({ domain, days, keyPem: current.keyPem });
  if (!kept) await put(join(dir, "tls.crt"), renewed.certPem, 0o644);
  return {
    dir,
    domain,
    authority: stateOf(dir, "ca.crt", authority.certPem, "kept"),
    server: stateOf(dir, "tls.crt", renewed.certPem, kept ? "kept" : "renewed"),
  };
}

function readDomain(text: string): string {
  const host = canonicalHost(text);
  // The wildcard below it takes two characters more.
  if (host !== undefined && host.includes(".") && host.length <= 251) return host;
  throw new SallyportError("config_invalid", `${JSON.stringify(text)} is not a domain`, {
    details: { source: "command line", fix: "write a full domain, such as abcd1234.tunnel.example.com" },
  });
}

async function readAuthority(dir: string): Promise<Authority | undefined> {
  const pair = await readPair(dir, "ca");
  return pair && openAuthority(pair);
}

const readServer = (dir: string): Promise<Pair | undefined> => readPair(dir, "tls");

interface Pair {
  certPem: string;
  keyPem: string;
}

/** Undefined where neither file is there; one without the other is nobody's. */
async function readPair(dir: string, name: "ca" | "tls"): Promise<Pair | undefined> {
  const [certFile, keyFile] = [join(dir, `${name}.crt`), join(dir, `${name}.key`)];
  const [certPem, keyPem] = [await readIfThere(certFile), await readIfThere(keyFile)];
  if (certPem === undefined && keyPem === undefined) return undefined;
  if (certPem === undefined) throw foreign(dir, `${name}.key`, `${name}.crt`);
  if (keyPem === undefined) throw foreign(dir, `${name}.crt`, `${name}.key`);
  const mode = (await stat(keyFile)).mode & 0o777;
  if ((mode & 0o077) !== 0) {
    throw new SallyportError(
      "config_invalid",
      `${keyFile}: others can read this key (mode ${mode.toString(8).padStart(4, "0")})`,
      { details: { file: keyFile, fix: `chmod 600 ${keyFile}` } },
    );
  }
  if (!belongTogether(certPem, keyPem)) throw foreign(dir, `${name}.key`, `${name}.crt`);
  return { certPem, keyPem };
}

function belongTogether(certPem: string, keyPem: string): boolean {
  try {
    return new X509Certificate(certPem).checkPrivateKey(createPrivateKey(keyPem));
  } catch {
    return false;
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function foreign(dir: string, file: string, missing: string): SallyportError {
  return new SallyportError("config_invalid", `${dir}: ${file} does not belong to ${missing}`, {
    details: { file: dir, fix: `move ${file} away, or name another folder with --output` },
  });
}

/** What keeps the certificate from being served now; undefined: nothing. */
function serverFault(certPem: string, authority: Authority, domain: string): SallyportError | undefined {
  try {
    for (const host of [domain, `any.${domain}`])
      checkServerCertificate(certPem, { caPem: authority.certPem, host });
    return undefined;
  } catch (error) {
    if (isError(error, "certificate_invalid")) return error;
    throw error;
  }
}

function domainOf(certPem: string, file: string): string {
  const wildcard = dnsNames(certPem).find((name) => name.startsWith("*."));
  if (wildcard !== undefined) return wildcard.slice(2);
  throw new SallyportError("config_invalid", `${file}: names no *.DOMAIN`, {
    details: { file, fix: "move it away, and make one with `sallyport certs init`" },
  });
}

async function makeAuthority(dir: string, domain: string): Promise<Authority> {
  const authority = createAuthority({ commonName: `Sallyport tunnel ${domain}`, days: authorityDays });
  await put(join(dir, "ca.key"), authority.keyPem, 0o600);
  await put(join(dir, "ca.crt"), authority.certPem, 0o644);
  return authority;
}

/** Whoever reads the file sees the old content or the new, also after a crash. */
async function put(path: string, content: string, mode: number): Promise<void> {
  const draft = `${path}.${randomUUID()}`;
  try {
    await using file = await open(draft, "wx", mode);
    await file.writeFile(content);
    await file.sync();
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

function stateOf(dir: string, name: string, pem: string, done: CertificateState["done"]): CertificateState {
  return {
    done,
    file: join(dir, name),
    fingerprint: fingerprintOf(pem),
    expiresAt: new X509Certificate(pem).validToDate.toISOString(),
  };
}
