import { bind, examples, type Register } from "../command.ts";

export const registerDemo: Register = (parent, dispatch) => {
  const command = parent
    .command("demo")
    .description(
      "start a hub and a worker, run real jobs and attacks, check each; exit code 1 when one fails",
    );
  examples(command, "npm run demo", "sallyport demo");
  bind<object>(command, dispatch, async (context) => {
    const { demonstrate } = await import("../demo/index.ts");
    return await demonstrate(context);
  });
};
