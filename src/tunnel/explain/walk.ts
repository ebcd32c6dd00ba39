import { isError, SallyportError } from "../../errors.ts";
import { layerOf, type Layer } from "../../exchange/index.ts";

/** One layer a call passes, and how it came through. */
export interface ExplainStep {
  readonly layer: Layer;
  readonly ok: boolean;
  readonly detail: string;
  /** What mends it; null where nothing is broken */
  readonly fix: string | null;
}

/** Layers in the order a call passes them, up to the first that does not hold. */
export class Walk {
  readonly steps: ExplainStep[] = [];

  /** What `work` found; undefined once a layer failed, which ends the walk. */
  async pass<T>(layer: Layer, work: () => Promise<{ detail: string; value: T }>): Promise<T | undefined> {
    try {
      const { detail, value } = await work();
      this.steps.push({ layer, ok: true, detail, fix: null });
      return value;
    } catch (error) {
      if (!isError(error)) throw error;
      const fix = error.details["fix"];
      this.steps.push({
        layer: layerOf(error) ?? layer,
        ok: false,
        detail: error.message,
        fix: typeof fix === "string" ? fix : null,
      });
      return undefined;
    }
  }
}

/** What a call would be told, by the layer that `details` name. */
export function broken(layer: Layer, message: string, fix: string): SallyportError {
  return new SallyportError("upstream_failed", message, { details: { layer, fix } });
}
