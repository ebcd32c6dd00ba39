import { randomInt } from "node:crypto";

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const timeDigits = 10;
const randomDigits = 16;
const pattern = new RegExp(`^job_[${alphabet}]{${timeDigits + randomDigits}}$`);

/** `job_` and 26 characters, sortable by `now` (wall clock `ms`), random behind that. */
export function newJobId(now: number): string {
  let time = "";
  for (let left = now, digit = 0; digit < timeDigits; digit += 1, left = Math.floor(left / 32)) {
    time = (alphabet[left % 32] ?? "") + time;
  }
  let random = "";
  while (random.length < randomDigits) random += alphabet[randomInt(32)] ?? "";
  return `job_${time}${random}`;
}

export function isJobId(text: string): boolean {
  return pattern.test(text);
}

/** Wall clock `ms` at which the id was made. */
export function jobIdTime(id: string): number {
  let time = 0;
  for (const digit of id.slice(4, 4 + timeDigits)) time = time * 32 + alphabet.indexOf(digit);
  return time;
}
