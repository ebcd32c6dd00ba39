/** What a cold job is held against: the least a container can be made, run and removed with. */
import type Docker from "dockerode";

export const image = "sallyport/base";

export async function rawContainer(docker: Docker): Promise<void> {
  const container = await docker.createContainer({
    Image: image,
    Cmd: ["true"],
    HostConfig: { NetworkMode: "none" },
  });
  await container.start();
  await container.wait();
  await container.remove();
}
