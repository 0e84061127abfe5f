// Python in a worker: first {pyodide: address}, then {text: derivation} as often as you like.
let judge;

async function start(address) {
  postMessage({ state: "Loading Python ..." });
  const { loadPyodide } = await import(new URL("pyodide.mjs", address));
  const python = await loadPyodide({ indexURL: address });
  const course = await fetch(new URL("course.zip", import.meta.url));
  python.unpackArchive(await course.arrayBuffer(), "zip", { extractDir: "/course" });
  python.runPython("import sys; sys.path.append('/course'); import vaelib");
  postMessage({ state: "The course is there. Loading NumPy and SciPy ..." });
  await python.loadPackage(["numpy", "scipy"]);
  judge = python.runPython(`
from pyodide.ffi import to_js
from vaelib.check import NotADocument, check_text
from vaelib.check.page import page

def judge(text):
    """The report as a page, or a sentence that says why there is none."""
    try:
        report, refused = page([check_text(text)]), ""
    except NotADocument as reason:
        report, refused = "", str(reason)
    return to_js([report, refused])

judge`);
}

onmessage = async ({ data }) => {
  try {
    if (data.pyodide) {
      await start(data.pyodide);
      postMessage({ state: "Ready.", ready: true });
    } else {
      const [report, refused] = judge(data.text);
      postMessage({ state: refused || "Done. The report is below.", report, ready: true });
    }
  } catch (error) {
    const where = judge === undefined ? `. Python was looked for at ${data.pyodide}. Is there a network?` : "";
    postMessage({ state: `That did not work: ${error.message ?? error}${where}`, ready: judge !== undefined });
  }
};
