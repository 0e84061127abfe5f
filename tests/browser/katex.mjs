// Reads formulas as JSON from standard input, [{where, latex, display}, ...]; writes those that KaTeX refuses.
import katex from "katex";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const refused = [];
for (const formula of JSON.parse(Buffer.concat(chunks).toString())) {
  try {
    katex.renderToString(formula.latex, { displayMode: formula.display, throwOnError: true, strict: "error" });
  } catch (error) {
    refused.push({ ...formula, error: error.message });
  }
}
process.stdout.write(JSON.stringify(refused));
