// Looks at pages as a reader sees them, on a wide and on a narrow screen, light and dark, and prints what is wrong with them.
//
//     node tests/pages/look.mjs [--pictures FOLDER] PAGE...
//
// The exit code is 1 if it found something.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { start } from "./chromium.mjs";

const WIDTHS = [1280, 400];
const SCHEMES = ["light", "dark"];
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
// Far from UTC, and not by whole hours.
const TIME_ZONE = "Asia/Kolkata";

/** Runs in the page: returns what is wrong with its layout. */
function layout() {
  const findings = [];
  const isShown = (element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest(".hidden");
  const describe = (box) => `"${box.text}" at ${Math.round(box.left)},${Math.round(box.top)}`;
  const insideOf = (one, other) => one.contains(other) || other.contains(one);

  // a line of text is as high as its letters, not as its font
  const line = (rect, text, element) => {
    const slack = rect.height * 0.2;
    return { left: rect.left, right: rect.right, top: rect.top + slack, bottom: rect.bottom - slack, text, element };
  };
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    const text = node.data.trim();
    if (!text || ["SCRIPT", "STYLE"].includes(element.tagName) || !isShown(element)) continue;
    const scroll = element.closest(".scroll")?.getBoundingClientRect();
    const range = document.createRange();
    range.selectNodeContents(node);
    const rects = element.closest("svg") ? [element.getBoundingClientRect()] : range.getClientRects();
    for (const rect of rects) {
      const isClipped = scroll && (rect.right > scroll.right || rect.bottom > scroll.bottom || rect.left < scroll.left);
      if (rect.width > 0 && rect.height > 0 && !isClipped) texts.push(line(rect, text.slice(0, 40), element));
    }
  }
  for (const [index, one] of texts.entries()) {
    if (one.left < -0.5 || one.right > innerWidth + 0.5) findings.push(`text leaves the screen: ${describe(one)}`);
    for (const other of texts.slice(index + 1)) {
      const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
      const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
      if (across > 1 && down > 1 && !insideOf(one.element, other.element)) {
        findings.push(`text overlaps text: ${describe(one)} and ${describe(other)}`);
      }
    }
  }

  for (const figure of document.querySelectorAll("figure.chart")) {
    const name = figure.querySelector(".area").dataset.title;
    const own = texts.filter((text) => figure.contains(text.element));
    const hits = (x, y) => own.find((text) => x > text.left && x < text.right && y > text.top && y < text.bottom);
    let marks = 0;
    for (const mark of figure.querySelectorAll(".marks path, .marks circle, .marks rect")) {
      const box = mark.getBoundingClientRect();
      marks += box.width > 0 || box.height > 0 ? 1 : 0;
      const length = mark.getTotalLength();
      const matrix = mark.getScreenCTM();
      for (let step = 0; step <= 400; step += 1) {
        const point = mark.getPointAtLength((length * step) / 400).matrixTransform(matrix);
        const hit = hits(point.x, point.y);
        if (hit) {
          findings.push(`${name}: a curve goes through ${describe(hit)}`);
          break;
        }
      }
    }
    if (marks === 0) findings.push(`${name}: nothing is drawn`);
    const labels = (axis) => [...figure.querySelectorAll(`svg.${axis} text`)].map((text) => text.textContent);
    const [up, across] = [labels("y"), labels("x")];
    if (new Set(up).size < 2 || new Set(up).size < up.length) findings.push(`${name}: vertical axis [${up}]`);
    if (across.length < 1 || new Set(across).size < across.length) findings.push(`${name}: horizontal axis [${across}]`);
    if ([...up, ...across].some((label) => !label || /NaN|inf/.test(label))) findings.push(`${name}: an axis has no numbers`);
    for (const entry of figure.querySelectorAll(".legend li")) {
      const box = entry.getBoundingClientRect();
      const isThere = isShown(entry) && box.width > 20 && box.height > 8 && box.left >= 0 && box.right <= innerWidth;
      if (!isThere || !entry.textContent.trim()) findings.push(`${name}: a legend entry is not visible: "${entry.textContent}"`);
    }
  }

  if (document.documentElement.scrollWidth > innerWidth) {
    findings.push(`the page is ${document.documentElement.scrollWidth} pixels wide, the screen ${innerWidth}`);
  }

  // axe looks at the contrast of HTML only
  const luminance = (colour) => {
    const channels = colour.match(/[\d.]+/g).slice(0, 3).map((channel) => Number(channel) / 255);
    const linear = channels.map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  for (const text of document.querySelectorAll("figure.chart svg text")) {
    if (!isShown(text)) continue;
    const card = getComputedStyle(text.closest(".card")).backgroundColor;
    const [low, high] = [luminance(getComputedStyle(text).fill), luminance(card)].sort((one, other) => one - other);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < 4.5) findings.push(`contrast ${contrast.toFixed(2)}: "${text.textContent}"`);
  }
  return [...new Set(findings)];
}

/** Uses what the script adds: values by the keyboard and at the pointer, and the reader's own time. */
async function use(page, findings) {
  const area = page.locator(".area").first();
  if (await area.count()) {
    const shown = async () => ((await area.locator(".tip:visible").count()) ? area.locator(".tip").innerText() : "");
    await area.focus();
    const last = await shown();
    await page.keyboard.press("Home");
    const first = await shown();
    const rows = await area.evaluate((element) => element.closest("figure").querySelectorAll("tbody tr").length);
    if (!last || !first || (rows > 1 && first === last)) findings.push(`the arrow keys read no values: "${first}", "${last}"`);
    await page.keyboard.press("Escape");
    await area.evaluate((element) => element.blur());
    await area.hover();
    if (!(await shown())) findings.push("the pointer reads no values");
    await page.mouse.move(0, 0);
  }
  const clock = page.locator("#clock");
  if (await clock.count()) {
    const time = page.locator("header time").first();
    const [utc, seconds] = [await time.innerText(), Number(await time.getAttribute("data-t"))];
    const expected = (timeZone) => new Date(seconds * 1000).toLocaleString("sv-SE", { timeZone });
    await clock.click();
    const local = await time.innerText();
    await clock.click();
    if (utc !== expected("UTC") || local !== expected(TIME_ZONE)) findings.push(`times are "${utc}" and "${local}"`);
    if ((await time.innerText()) !== utc) findings.push("the time does not go back to UTC");
  }
}

async function look(browser, path, width, scheme, pictures) {
  const findings = [];
  const context = await browser.newContext({
    viewport: { width, height: 900 },
    colorScheme: scheme,
    timezoneId: TIME_ZONE,
    reducedMotion: "reduce",
  });
  const page = await context.newPage();
  const url = pathToFileURL(resolve(path)).href;
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) findings.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => findings.push(`script: ${error.message}`));
  page.on("request", (request) => {
    if (request.url() !== url && !request.url().startsWith("data:")) findings.push(`request: ${request.url()}`);
  });
  await page.goto(url);
  if (pictures) {
    const name = `${basename(path, ".html")}-${width}-${scheme}.png`;
    await page.screenshot({ path: join(pictures, name), fullPage: true });
  }
  findings.push(...(await page.evaluate(layout)));
  await use(page, findings);
  await page.evaluate(() => {
    const first = document.querySelector("details");
    if (first) first.open = true;
    // all rows of a table are alike, and axe looks at each
    for (const body of document.querySelectorAll("tbody")) while (body.rows.length > 5) body.deleteRow(5);
  });
  await page.evaluate(AXE);
  const axe = await page.evaluate((values) => globalThis.axe.run({ runOnly: { type: "tag", values } }), AXE_TAGS);
  for (const { id, help, nodes } of axe.violations) {
    findings.push(`axe ${id}: ${help}: ${nodes.slice(0, 3).map((node) => node.target.join(" ")).join(", ")}`);
  }
  await context.close();
  return findings;
}

const paths = process.argv.slice(2);
const pictures = paths[0] === "--pictures" ? paths.splice(0, 2)[1] : undefined;
const browser = await start();
let found = 0;
for (const path of paths) {
  for (const width of WIDTHS) {
    for (const scheme of SCHEMES) {
      const findings = await look(browser, path, width, scheme, pictures);
      for (const finding of findings) console.log(`${basename(path)}, ${width} pixels, ${scheme}: ${finding}`);
      found += findings.length;
    }
  }
}
await browser.close();
console.log(`${paths.length} pages, ${WIDTHS.length * SCHEMES.length} views each: ${found} findings`);
process.exitCode = found > 0 || paths.length === 0 ? 1 : 0;
