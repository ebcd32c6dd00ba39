import { limits } from "./limits.ts";

/** Whether JSON nests deeper than the wire allows. Counts brackets outside of strings, without recursion. */
export function nestsTooDeep(json: string): boolean {
  let open = 0;
  let quoted = false;
  for (let at = 0; at < json.length; at += 1) {
    const char = json.charCodeAt(at);
    if (quoted) {
      if (char === 0x5c) at += 1;
      else if (char === 0x22) quoted = false;
    } else if (char === 0x22) quoted = true;
    else if (char === 0x7b || char === 0x5b) {
      open += 1;
      if (open > limits.jsonDepth) return true;
    } else if (char === 0x7d || char === 0x5d) open -= 1;
  }
  return false;
}
