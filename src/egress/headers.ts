/** Who a request comes from is known from its stream; what it says about that itself goes no further. */
import type { HeaderList } from "../exchange/index.ts";

const claims = /^(x-forwarded(-.*)?|forwarded|via|x-real-ip|x-client-ip|x-request-id|x-sallyport(-.*)?)$/;

/** Some upstreams read `_` in a name as `-`. */
export function withoutClaims(headers: HeaderList): HeaderList {
  return headers.filter(([name]) => !claims.test(name.replaceAll("_", "-")));
}
