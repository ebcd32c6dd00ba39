/** Keys that stand twice in one object of a JSON text: its reader keeps the last one and says nothing. */

/** A place in an object (its current key) or an array (an index) */
interface Level {
  keys: Set<string>;
  part: string | number;
}

/** A string, with the colon that makes it a key, or what opens, closes and parts objects and arrays */
const tokens = /("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|[[\]{},]/g;

/** The path of every key that is there a second time; `text` is JSON. */
export function repeatedKeys(text: string): (string | number)[][] {
  const repeated: (string | number)[][] = [];
  const open: Level[] = [];
  for (const [token, string, colon] of text.matchAll(tokens)) {
    const level = open.at(-1);
    if (token === "{" || token === "[") open.push({ keys: new Set(), part: token === "{" ? "" : 0 });
    else if (token === "}" || token === "]") open.pop();
    else if (token === "," && typeof level?.part === "number") level.part += 1;
    else if (level !== undefined && string !== undefined && colon !== undefined) {
      level.part = JSON.parse(string) as string;
      if (level.keys.has(level.part)) repeated.push(open.map(({ part }) => part));
      level.keys.add(level.part);
    }
  }
  return repeated;
}
