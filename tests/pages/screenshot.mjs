// Takes a picture of the top of a page, light and dark, for README.
//
//     node tests/pages/screenshot.mjs PAGE PICTURE
//
// writes PICTURE-light.png and PICTURE-dark.png.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { start } from "./chromium.mjs";

const SIZE = { width: 1280, height: 1130 };

const [path, picture] = process.argv.slice(2);
if (!path || !picture) throw new Error("a page and the name of its pictures are needed");
const browser = await start();
for (const colorScheme of ["light", "dark"]) {
  const context = await browser.newContext({ viewport: SIZE, colorScheme });
  const page = await context.newPage();
  await page.goto(pathToFileURL(resolve(path)).href);
  await page.screenshot({ path: `${picture}-${colorScheme}.png` });
  await context.close();
}
await browser.close();
