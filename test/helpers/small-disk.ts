/** A file system in memory that can be made full at any moment, and given room again. */
import { execFileSync } from "node:child_process";
import { mkdirSync, statfsSync } from "node:fs";

/** what it holds when it has room; only what is used takes memory */
const roomBytes = 4 * 2 ** 30;
const tries = 20;

export class SmallDisk implements Disposable {
  readonly dir: string;

  private constructor(dir: string) {
    this.dir = dir;
  }

  /** Mounted at `dir`, which is made; undefined where nothing can be mounted, which needs root. */
  static mount(dir: string): SmallDisk | undefined {
    mkdirSync(dir, { recursive: true });
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=${roomBytes},mode=755`, "tmpfs", dir], {
        stdio: "ignore",
      });
    } catch {
      return undefined;
    }
    return new SmallDisk(dir);
  }

  /** From here on it is as large as what is on it. */
  fill(): void {
    for (let turn = 1; ; turn += 1) {
      const { blocks, bfree, bsize } = statfsSync(this.dir);
      try {
        this.#resize((blocks - bfree) * bsize);
        return;
      } catch (error) {
        // More was written meanwhile than it was to hold.
        if (turn === tries) throw error;
      }
    }
  }

  makeRoom(): void {
    this.#resize(roomBytes);
  }

  [Symbol.dispose](): void {
    execFileSync("umount", ["-l", this.dir]);
  }

  #resize(bytes: number): void {
    execFileSync("mount", ["-o", `remount,size=${bytes}`, this.dir], { stdio: "ignore" });
  }
}
