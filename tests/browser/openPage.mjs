// A page of a Chromium that asks nothing of a network and shows nothing of its own.
import { chromium } from "playwright-core";

const quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
const still = ["--disable-background-networking", "--disable-component-update", "--disable-sync"];

export async function openPage(executablePath, viewport, milliseconds) {
  const browser = await chromium.launch({ executablePath, args: [...quiet, ...still] });
  const page = await browser.newPage({ viewport });
  page.setDefaultTimeout(milliseconds);
  return { browser, page };
}
