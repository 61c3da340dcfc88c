// The Chromium that is installed, driven without downloading one.
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];

/** Returns the path of the browser, undefined if none is installed. CHROMIUM names another. */
export function installed() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const folders = (process.env.PATH || "").split(delimiter);
  const paths = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  return paths.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Starts the browser. */
export async function start() {
  const executablePath = installed();
  if (!executablePath) throw new Error(`no Chromium is installed: looked for ${NAMES.join(", ")}`);
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
}
