// Runs a Python script in Pyodide, in Node, with the archive of the course unpacked in /course; prints its last value.
// Usage: node pyodide.mjs ARCHIVE SCRIPT
import { readFileSync } from "node:fs";
import { loadPyodide } from "pyodide";

const [, , archive, script] = process.argv;
try {
  const python = await loadPyodide();
  python.unpackArchive(new Uint8Array(readFileSync(archive)), "zip", { extractDir: "/course" });
  python.runPython("import sys; sys.path.append('/course')");
  process.stdout.write(`${python.runPython(readFileSync(script, "utf8"))}\n`);
} catch (error) {
  process.stderr.write(`${error.message}\n`); // without the source of Pyodide, which is one long line
  process.exitCode = 1;
}
