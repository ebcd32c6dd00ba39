import { randomUUID } from "node:crypto";
import { abortable } from "../../async/index.ts";
import type { Driver, LanguageName, Profile, Sandbox } from "../../sandbox/index.ts";
import { equip, type Outfit } from "../network.ts";
import { startInterpreter, type Interpreter } from "./interpreter.ts";

/** A sandbox that nobody has used yet, with what waits in it. */
export interface WarmSandbox {
  readonly sandbox: Sandbox;
  readonly outfit: Outfit;
  readonly interpreters: ReadonlyMap<LanguageName, Interpreter>;
  /** Resolves when it, or something that waits in it, is no more */
  readonly died: Promise<unknown>;
}

/** All or nothing, as the driver's `create`; throws what that throws, and `profile_unusable` when a module cannot be loaded. */
export async function makeWarm(
  driver: Pick<Driver, "create">,
  profile: Profile,
  outfit: Outfit,
  signal: AbortSignal,
): Promise<WarmSandbox> {
  const sandbox = await driver.create(
    { profile, lease: `pool-${randomUUID()}`, hosts: outfit.hosts },
    signal,
  );
  try {
    await abortable(equip(sandbox.guest, outfit), signal);
    const interpreters = new Map<LanguageName, Interpreter>();
    const languages = Object.keys(profile.languages) as LanguageName[];
    const starting = languages.map(async (language) => {
      const interpreter = await startInterpreter(
        sandbox.guest,
        { profile, language, env: outfit.env },
        signal,
      );
      if (interpreter !== undefined) interpreters.set(language, interpreter);
    });
    await Promise.all(starting);
    const waiting = [...interpreters.values()].map((interpreter) => interpreter.died);
    const died = Promise.race([sandbox.guest.closed, sandbox.ended, ...waiting]);
    return { sandbox, outfit, interpreters, died };
  } catch (error) {
    await sandbox[Symbol.asyncDispose]();
    throw error;
  }
}
