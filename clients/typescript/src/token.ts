// Who calls: an API key, or a token that a key signs for each call (docs/ACCESS.md).
import { AgentKey } from "./voucher.js";
import { base64url } from "./bytes.js";

/** What `tallystick access keygen` writes: an identity's name and secret. */
export interface KeyFile {
  name: string;
  secret: string;
}

/** An API key (`tsk_...`) or another ready token, or a key that signs a token for each call. */
export type Credential = string | KeyFile;

const LIFE = 60;

/** A JSON Web Token that says `subject`, signed with Ed25519: good for a minute, for this network alone. */
export function signToken(key: AgentKey, subject: string, network: string, now = Date.now()): string {
  const at = Math.floor(now / 1000);
  const part = (value: object) => base64url(new TextEncoder().encode(JSON.stringify(value)));
  const body = `${part({ alg: "EdDSA", typ: "JWT" })}.${part({ sub: subject, aud: network, iat: at, exp: at + LIFE })}`;
  return `${body}.${base64url(key.sign(new TextEncoder().encode(body)))}`;
}

/** Makes the header for a call; `network` is asked for when a token must be signed. */
export function authorization(credential: Credential, network: () => Promise<string>): () => Promise<string> {
  if (typeof credential === "string") return async () => `Bearer ${credential}`;
  const key = new AgentKey(credential.secret);
  return async () => `Bearer ${signToken(key, credential.name, await network())}`;
}
