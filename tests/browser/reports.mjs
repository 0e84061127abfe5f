// Opens notebooks in JupyterLab at 1280 x 720, the sidebar open, and prints as JSON {path: [what is too wide, ...]} and
// how many tables were measured in each.
// Usage: node reports.mjs CHROMIUM ADDRESS TOKEN PATH ...
import { chromium } from "playwright-core";

const [, , executablePath, address, token, ...paths] = process.argv;
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage({ viewport: { width: 1280, height: 720 } });
page.setDefaultTimeout(120_000);
const result = {};
for (const path of paths) {
  await page.goto(`${address}/lab/tree/${path}?token=${token}&reset`);
  await page.waitForFunction((name) => window.jupyterapp?.shell.currentWidget?.context?.path === name, path);
  await page.waitForFunction(() => window.jupyterapp.shell.currentWidget.context.isReady);
  result[path] = await page.evaluate(async () => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    notebook.notebookConfig = { ...notebook.notebookConfig, windowingMode: "none" };
    const found = () => [...notebook.node.querySelectorAll(".jp-OutputArea .jp-RenderedMarkdown table")];
    for (let before = -1; before !== found().length; ) { // until no more are drawn
      before = found().length;
      await new Promise((done) => setTimeout(done, 3000));
    }
    const tables = found();
    const wide = [];
    for (const table of tables) {
      const area = table.closest(".jp-OutputArea-output");
      const excess = Math.round(Math.max(table.getBoundingClientRect().right - area.getBoundingClientRect().right, area.scrollWidth - area.clientWidth));
      if (excess > 1) wide.push(`${table.innerText.slice(0, 60).replace(/\s+/g, " ")}: ${excess} pixels`);
    }
    const sidebar = document.querySelector("#jp-left-stack")?.getBoundingClientRect().width ?? 0;
    return { tables: tables.length, sidebar, wide };
  });
}
await browser.close();
process.stdout.write(JSON.stringify(result));
