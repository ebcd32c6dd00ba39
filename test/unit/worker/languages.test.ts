import assert from "node:assert/strict";
import { test } from "node:test";
import { programOf } from "../../../src/worker/languages.ts";
import { testProfile } from "../../helpers/simulated-hub.ts";

const profile = testProfile("p", { languages: { python: {}, shell: {} } });

test("a command is run as it is", () => {
  const program = programOf({ run: { command: ["ls", "-l"] }, files: [] }, profile);
  assert.deepEqual(program, { argv: ["ls", "-l"], source: null, env: {} });
});

test("code becomes a file in the workspace and its interpreter's command line", () => {
  const python = programOf({ run: { language: "python", code: "print('ü')" }, files: [] }, profile);
  assert.deepEqual(python.argv, ["python3", "main.py"]);
  assert.equal(Buffer.from(python.source?.bytes ?? []).toString("utf8"), "print('ü')");
  assert.equal(python.env["PYTHONUNBUFFERED"], "1");
  const shell = programOf({ run: { language: "shell", code: "true" }, files: [] }, profile);
  assert.deepEqual([shell.argv, shell.source?.path], [["sh", "main.sh"], "main.sh"]);
});

test("a language the profile or the worker does not have is refused, inherited names included", () => {
  for (const language of ["node", "ruby", "toString", "__proto__"]) {
    assert.throws(() => programOf({ run: { language, code: "" }, files: [] }, profile), {
      code: "language_unknown",
    });
  }
});

test("a file in the place of the code is refused by name, a like name is not", () => {
  const files = [
    { path: "main.py.bak", size: 0 },
    { path: "main.py", size: 0 },
  ];
  assert.throws(() => programOf({ run: { language: "python", code: "" }, files }, profile), {
    code: "request_invalid",
    details: { field: "files[1].path", fix: "give the file another name than main.py" },
  });
});
