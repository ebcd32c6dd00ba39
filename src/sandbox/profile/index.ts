export type { Profile, ProfileFile, MemoryShape } from "./schema.ts";
export { profileFileSchema, profileJsonSchema } from "./schema.ts";
export { parseProfile, type ProfileProblem } from "./parse.ts";
export { loadProfiles, type LoadedProfiles } from "./load.ts";
