/** `npm run setup`: makes this checkout ready to run jobs on this host. */
import { command } from "./setup/command.mjs";
import { setUp } from "./setup/index.mjs";

const help = `npm run setup [-- --product]: makes this checkout ready to run jobs on this host; does only what is missing.

  dependencies   npm packages and Node 24, as package-lock.json names them
  engine         a Docker-compatible engine (DOCKER_HOST, or the usual sockets); on Debian and Ubuntu, as root,
                 docker.io is installed and dockerd started where none answers
  debian         debian:bookworm-slim from a registry, or made from Debian's packages where none answers
  images         sallyport/base, sallyport/python, sallyport/node
  programs       images/guest/build/guest and probe, compiled here or in a container

--product also builds sallyport/sallyport, the image that compose.yaml runs: Sallyport itself; and writes DOCKER_GID, the group of
the engine's socket, into .env, so that the workers there may use it without being root.

Exit code 0 when everything is there, 1 when not (the reason and the fix are printed).`;

await command(async (signal) => {
  const args = process.argv.slice(2);
  if (args.includes("--help") || args.includes("-h")) {
    console.log(help);
    return 0;
  }
  const unknown = args.find((arg) => arg !== "--product");
  if (unknown !== undefined) {
    console.error(`unknown argument ${unknown}\n\n${help}`);
    return 1;
  }
  await setUp({ signal, product: args.includes("--product") });
  return 0;
});
