import { WebSocket } from "ws";
import { certificate } from "./nodes.js";

/** The package `ws`, which trusts the nodes' certificate. */
export class Trusting extends WebSocket {
  constructor(url: string) {
    super(url, { ca: certificate.pem });
  }
}
