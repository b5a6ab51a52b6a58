// Drives the page of `cargo xtask demo` in headless Chromium, and compares every prediction with
// sd-infer's for the same network and images: class, exit and probability, with each rule.
//
//     cargo xtask demo RUN && cargo xtask export RUN --staged && cargo build --release -p sd-infer --features cli
//     npm install --prefix scripts/demo
//     CHROMIUM=$(command -v chromium) node scripts/demo/check.mjs RUN/demo.html RUN/staged target/release/sd-infer [SCREENSHOTS]

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import puppeteer from "puppeteer-core";

const [page_file, staged, sd_infer, screenshots] = process.argv.slice(2);
assert(sd_infer, "usage: check.mjs DEMO.html STAGED SD_INFER [SCREENSHOTS]");
const work = mkdtempSync(join(tmpdir(), "demo-"));
if (screenshots) mkdirSync(screenshots, { recursive: true });

const html = readFileSync(page_file);
const server = createServer((request, response) => {
  const found = request.url === "/";
  response.writeHead(found ? 200 : 404, { "content-type": "text/html" }).end(found ? html : "");
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const home = `http://127.0.0.1:${server.address().port}/`;

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});

// Prediction of sd-infer for an image.
function predicted(picture, rule) {
  const line = execFileSync(sd_infer, [staged, picture, "--json", "--top", "1", ...rule], { encoding: "utf8" });
  const { exit, labels } = JSON.parse(line);
  return { class: labels[0].name, exit, probability: labels[0].probability };
}

// A WebP file with an EXIF chunk that holds its orientation.
function oriented(webp, orientation, width, height) {
  const chunk = (name, content) => {
    const head = Buffer.alloc(8);
    head.write(name);
    head.writeUInt32LE(content.length, 4);
    return Buffer.concat([head, content, Buffer.alloc(content.length % 2)]);
  };
  const size = Buffer.alloc(10);
  size[0] = 8; // an EXIF chunk
  size.writeUIntLE(width - 1, 4, 3);
  size.writeUIntLE(height - 1, 7, 3);
  const exif = Buffer.from("49492a0008000000010012010300010000000000000000000000", "hex");
  exif[18] = orientation;
  let at = 12;
  while (!/^VP8[ L]/.test(webp.toString("latin1", at, at + 4))) at += 8 + 2 * Math.ceil(webp.readUInt32LE(at + 4) / 2);
  const image = webp.subarray(at + 8, at + 8 + webp.readUInt32LE(at + 4));
  const chunks = [chunk("VP8X", size), chunk(webp.toString("latin1", at, at + 4), image), chunk("EXIF", exif)];
  return chunk("RIFF", Buffer.concat([Buffer.from("WEBP"), ...chunks]));
}

const settled = (page) => page.waitForFunction(() => document.querySelector("main").dataset.state === "ready");

// Prediction of the page for the image that it has just classified.
async function shown(page) {
  await settled(page);
  return page.evaluate(() => {
    const [, percent] = document.getElementById("verdict").textContent.match(/ ([\d.]+) %/);
    return {
      class: document.querySelector("#verdict strong").textContent,
      exit: document.querySelector("[data-state=left] strong").textContent,
      probability: Number(percent) / 100,
    };
  });
}

function same(here, there, what, tolerance) {
  assert.equal(here.class, there.class, what);
  assert.equal(here.exit, there.exit, what);
  assert(Math.abs(here.probability - there.probability) < tolerance, `${what}: ${here.probability}, ${there.probability}`);
}


async function open(address, viewport) {
  const page = await browser.newPage();
  await page.setViewport(viewport);
  const problems = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("request", (request) => {
    const url = request.url();
    if (url !== address && !/^(blob|data):/.test(url) && !url.endsWith("/favicon.ico")) problems.push(`requested ${url}`);
  });
  await page.goto(address);
  await settled(page);
  return { page, problems: () => problems.filter((text) => !text.includes("404")) };
}

let compared = 0;
try {
  const { page, problems } = await open(home, { width: 1280, height: 900 });
  if (screenshots) await page.screenshot({ path: join(screenshots, "desktop.png"), fullPage: true });

  // JPEG decoders differ, since the standard leaves the upsampling of colours open.
  const tolerance = (source) => (source.startsWith("data:image/jpeg") ? 2e-2 : 2e-3);

  const samples = await page.$$eval("#samples img", (images) => images.map((image) => image.src));
  const pictures = samples.map((source, index) => {
    const path = join(work, `${index}.png`);
    writeFileSync(path, Buffer.from(source.split(",")[1], "base64"));
    return path;
  });
  const rules = [["own", []], ["never", ["--never"]], ["same", ["--confidence", "0.8"]]];
  for (const [value, rule] of rules) {
    // The shown image is classified again by the new rule.
    await page.click(`input[value=${value}]`);
    if (compared > 0) {
      same(await shown(page), predicted(pictures.at(-1), rule), `last sample again, ${value}`, tolerance(samples.at(-1)));
      compared += 1;
    }
    for (const [index, button] of (await page.$$("#samples button")).entries()) {
      await button.click();
      same(await shown(page), predicted(pictures[index], rule), `sample ${index}, ${value}`, tolerance(samples[index]));
      compared += 1;
    }
  }

  // Classifies an image file in the page and in sd-infer.
  async function compareFile(path, what, tolerance) {
    await (await page.$("#file")).uploadFile(path);
    const name = basename(path);
    await page.waitForFunction((name) => document.getElementById("file").files[0]?.name === name, {}, name);
    await new Promise((later) => setTimeout(later, 300));
    same(await shown(page), predicted(path, ["--never"]), what, tolerance);
    compared += 1;
  }

  // Colour images of other sizes, as a user may drop them.
  await page.click("input[value=never]");
  await settled(page);
  for (const [width, height] of [[301, 200], [17, 9]]) {
    const base64 = await page.evaluate((width, height) => {
      const canvas = Object.assign(document.createElement("canvas"), { width, height });
      const context = canvas.getContext("2d");
      const gradient = context.createLinearGradient(0, 0, width, height);
      gradient.addColorStop(0, "#204080");
      gradient.addColorStop(1, "#f0c030");
      context.fillStyle = gradient;
      context.fillRect(0, 0, width, height);
      context.fillStyle = "#b01010";
      context.fillRect(width / 4, height / 3, width / 3, height / 2);
      return canvas.toDataURL("image/png").split(",")[1];
    }, width, height);
    const path = join(work, `${width}.png`);
    writeFileSync(path, Buffer.from(base64, "base64"));
    await compareFile(path, `a picture of ${width}×${height}`, tolerance("data:image/png"));
  }

  // A lossless WebP file in every orientation.
  const base64 = await page.evaluate(() => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 40, height: 24 });
    const context = canvas.getContext("2d");
    [["#204080", 0, 0, 40, 24], ["#f0c030", 0, 0, 20, 6], ["#b01010", 30, 10, 8, 14]].forEach(([color, ...place]) => {
      context.fillStyle = color;
      context.fillRect(...place);
    });
    return canvas.toDataURL("image/webp", 1).split(",")[1];
  });
  for (let orientation = 1; orientation <= 8; orientation++) {
    const path = join(work, `${orientation}.webp`);
    writeFileSync(path, oriented(Buffer.from(base64, "base64"), orientation, 40, 24));
    await compareFile(path, `WebP of orientation ${orientation}`, tolerance("data:image/webp"));
  }

  await page.click("#all");
  await page.waitForFunction(() => document.getElementById("score").textContent.includes("correct"));
  const score = await page.$eval("#score", (line) => line.textContent);
  assert.deepEqual(problems(), []);

  for (const [name, address] of [["phone", home], ["file", pathToFileURL(resolve(page_file)).href]]) {
    const { page, problems } = await open(address, { width: 390, height: 844, deviceScaleFactor: 2 });
    const [content, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert(content <= screen, `${name}: ${content} pixels wide on a screen of ${screen}`);
    assert.deepEqual(problems(), []);
    if (screenshots) await page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true });
  }
  console.log(`passed: ${compared} predictions equal those of sd-infer; all samples: ${score}`);
} finally {
  await browser.close();
  server.close();
  rmSync(work, { recursive: true });
}
