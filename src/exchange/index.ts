export {
  layers,
  type Forward,
  type HeaderList,
  type HttpRequest,
  type HttpResponse,
  type Layer,
} from "./contract.ts";
