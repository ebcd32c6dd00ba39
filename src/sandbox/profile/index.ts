export type { Profile, ProfileFile, MemoryShape } from "./schema.ts";
export { profileFileSchema, profileJsonSchema } from "./schema.ts";
export { parseProfile } from "./parse.ts";
export { loadProfiles, type LoadedProfiles, type ProfileProblem } from "./load.ts";
