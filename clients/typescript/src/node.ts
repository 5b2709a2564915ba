// What needs Node: lanes in a file, keys in files.
import { createPrivateKey, sign as signNatively, type KeyObject } from "node:crypto";
import { readFileSync, writeFileSync, unlinkSync } from "node:fs";
import { open, readFile, rename, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { TallystickError } from "./errors.js";
import { QueuedLanes } from "./queue.js";
import type { LaneStore, Line } from "./store.js";
import { AgentKey } from "./voucher.js";
import type { KeyFile } from "./token.js";

// Node takes a secret of 32 bytes only in this wrapping (PKCS#8).
const PKCS8 = "302e020100300506032b657004220420";

/** An agent's key that signs with Node's own crypto: the same signatures, some ten times as fast. */
export class NodeAgentKey extends AgentKey {
  readonly #native: KeyObject;

  constructor(secret: string | Uint8Array) {
    super(secret);
    const bytes = typeof secret === "string" ? Buffer.from(secret.trim(), "hex") : secret;
    this.#native = createPrivateKey({ key: Buffer.concat([Buffer.from(PKCS8, "hex"), bytes]), format: "der", type: "pkcs8" });
  }

  override sign(message: Uint8Array): Uint8Array {
    return signNatively(null, message, this.#native);
  }
}

/** Reads an agent's key, as `tallystick voucher keygen --out FILE` wrote it. */
export async function readAgentKey(path: string): Promise<AgentKey> {
  return new NodeAgentKey(await readFile(path, "utf8"));
}

/** Reads a seller's key for the engine: an API key, or the file of `tallystick access keygen`. */
export async function readCredential(path: string): Promise<string | KeyFile> {
  const text = (await readFile(path, "utf8")).trim();
  if (!text.startsWith("{")) return text;
  try {
    const { identity, secret } = JSON.parse(text) as Record<string, unknown>;
    if (typeof identity === "string" && typeof secret === "string") {
      new AgentKey(secret);
      return { name: identity, secret };
    }
  } catch {
    // What is wrong with it is said below, without showing any of it.
  }
  throw new TallystickError(
    `${path} is no key of an identity: give the file that \`tallystick access keygen\` wrote, or one with an API key alone`,
  );
}

/**
 * Lanes in a file, one line of JSON for each thing that happened. A payment is on the disk before it leaves; payments of one
 * moment share one write. One process at a time: `FILE.lock` names it.
 */
export function fileLanes(path: string): LaneStore {
  return new FileLanes(path);
}

class FileLanes extends QueuedLanes {
  readonly #path: string;
  #owner: string | undefined;
  #file: FileHandle | undefined;

  constructor(path: string) {
    super();
    this.#path = path;
  }

  async open(owner: { network: string; signer: string }): Promise<Line[]> {
    lock(`${this.#path}.lock`, this.#path);
    const first = (form: string) => JSON.stringify({ tallystick: form, network: owner.network, signer: owner.signer });
    this.#owner = first("lanes 2");
    try {
      const text = await readFile(this.#path, "utf8");
      const whole = text.slice(0, text.lastIndexOf("\n") + 1); // what follows was being written in a crash: it never left
      const [head, ...lines] = whole.split("\n").filter(Boolean);
      // What version 1 lacks, it had nothing of.
      if (head !== undefined && head !== this.#owner && head !== first("lanes 1")) {
        throw new TallystickError(`${this.#path} keeps the lanes of another key or network: give each its own file`);
      }
      return lines.map((line) => JSON.parse(line) as Line);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      await this.release();
      throw error;
    }
  }

  protected async add(lines: Line[], lasting: boolean): Promise<void> {
    if (!this.#file) throw new TallystickError(`${this.#path} is closed`);
    await this.#file.writeFile(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    if (lasting) await this.#file.datasync();
  }

  protected async replace(lines: Line[]): Promise<void> {
    if (this.#owner === undefined) throw new TallystickError(`${this.#path} is closed`);
    const fresh = `${this.#path}.tmp`;
    const file = await open(fresh, "w", 0o600);
    await file.writeFile([this.#owner, ...lines.map((line) => JSON.stringify(line)), ""].join("\n"));
    await file.sync();
    await rename(fresh, this.#path);
    const folder = await open(dirname(this.#path), "r");
    await folder.sync();
    await folder.close();
    await this.#file?.close();
    this.#file = file;
  }

  protected async release(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
    if (this.#owner !== undefined) unlinkSync(`${this.#path}.lock`);
    this.#owner = undefined;
  }
}

/** Takes the lock, also from a process that is gone. */
function lock(path: string, what: string): void {
  const mine = `${process.pid} ${startOf(process.pid)}\n`;
  for (let attempt = 0; ; attempt += 1) {
    try {
      writeFileSync(path, mine, { flag: "wx", mode: 0o600 });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST" || attempt > 1) throw error;
    }
    const [pid = "", ...start] = readFileSync(path, "utf8").trim().split(" ");
    if (pid && isAlive(Number(pid)) && startOf(Number(pid)) === start.join(" ")) {
      throw new TallystickError(`${what} is used by process ${pid}: give each process its own lanes`);
    }
    unlinkSync(path);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** When a process started, as Linux tells it, so that a pid used again is not taken for it. Elsewhere empty. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return "";
  }
}
