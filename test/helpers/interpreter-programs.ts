/** Programs that show what a program can see of its interpreter. */

export interface Program {
  language: "python" | "node";
  code: string;
  env?: Record<string, string>;
  files?: Record<string, string>;
  stdin?: string;
}

export const python = (code: string, more: Partial<Program> = {}): Program => ({
  language: "python",
  code,
  ...more,
});
const node = (code: string, more: Partial<Program> = {}): Program => ({ language: "node", code, ...more });

export const programs: Record<string, Program> = {
  "python: what a program sees of itself": python(
    `import sys, os
print(sys.argv, sys.orig_argv, sys.path, sys.executable, sys.flags)
print(__name__, __file__, __spec__, __doc__, sorted(globals()), os.getcwd())
print(sorted(os.environ.items() - {("HOSTNAME", os.environ.get("HOSTNAME"))}))
print(sorted(os.listdir("/proc/self/fd")), os.umask(0), os.listdir("."), oct(os.stat("main.py").st_mode), os.stat("main.py").st_uid)
print(sys._getframe().f_back, sys.stdin.fileno(), sys.stdout.line_buffering, sys.stdout.write_through, sys.gettrace())
print(open("/workspace/main.py").read() == open(__file__).read(), [k for k in sys.modules if "sally" in k or "custom" in k])`,
    { env: { JOB: "1", BOTH: "job" } },
  ),
  "python: a traceback with chained exceptions": python(
    `def inner(n):
    return 1 / n

def outer():
    try:
        inner(0)
    except ZeroDivisionError as e:
        raise RuntimeError("über") from e

outer()`,
  ),
  "python: a syntax error": python("print(1)\ndef f(:\n  pass"),
  "python: stack, warnings and sources are the program's": python(
    `import traceback, warnings, inspect, sys
traceback.print_stack()
warnings.warn("look", stacklevel=3)
def f(): return 1
print(inspect.getsource(f), len(inspect.stack()))`,
  ),
  "python: exit with a number": python("import sys\nprint('x', end='')\nsys.exit(7)"),
  "python: exit with a text": python("import sys\nsys.exit('no good')"),
  "python: exit from an exit handler's program": python(
    "import atexit, sys\natexit.register(lambda: print('bye'))\nprint('hi')\nsys.exit(3)",
  ),
  "python: an interrupt": python("raise KeyboardInterrupt"),
  "python: a signal of its own": python("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)"),
  "python: signal handlers are the usual ones": python(
    "import signal\nprint([(s.name, str(signal.getsignal(s))) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGHUP)])",
  ),
  "python: threads are joined at the end": python(
    "import threading, time\ndef late():\n  time.sleep(.1); print('late')\nthreading.Thread(target=late).start()\nprint('main')",
  ),
  "python: processes by fork and by spawn": python(
    `import multiprocessing, os
def square(n): return n * n
if __name__ == "__main__":
    for way in ("fork", "spawn"):
        with multiprocessing.get_context(way).Pool(2) as pool:
            print(way, pool.map(square, range(4)))
    print(os.popen("python3 -c 'import sys; print(sys.argv, len(sys.path))'").read())`,
  ),
  "python: text on stdin": python("import sys\nprint(repr(input()))\nprint([line for line in sys.stdin])", {
    stdin: "first\nsécond\nno end",
  }),
  "python: bytes on stdin": python(
    "import sys, hashlib\nprint(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())",
    {
      stdin: "\u0000\u0001é\n".repeat(50_000),
    },
  ),
  "python: no stdin": python("import sys\nprint(repr(sys.stdin.read()))\ninput()"),
  "python: modules of the workspace": python(
    "import helper\nfrom pack import part\nprint(helper.name, part.name, helper.__file__)",
    { files: { "helper.py": "name = 'helper'", "pack/part.py": "name = __name__" } },
  ),
  "python: a module of the workspace that hides a loaded one": python("import json\nprint(json.mine)", {
    files: { "json.py": "mine = True" },
  }),
  "python: packages below the home folder": python(
    "import sys\nprint([p for p in sys.path if '.local' in p])",
    {
      files: { ".local/lib/python3.11/site-packages/x.py": "" },
    },
  ),
  "python: variables that its start reads": python(
    "import sys, time\nprint(sys.flags.optimize, time.tzname)",
    {
      env: { PYTHONOPTIMIZE: "1", TZ: "Asia/Tokyo" },
    },
  ),
  "python: garbage is collected as usual": python(
    "import gc\nprint(gc.isenabled(), gc.get_threshold(), gc.get_debug(), gc.callbacks)",
  ),
  "python: output keeps its order": python(
    "import sys, os\nfor i in range(3):\n  print(i, end=' '); os.write(1, b'w '); sys.stdout.buffer.write(b'b ')",
  ),
  "python: a large program": python(`x = """${"é".repeat(60_000)}"""\nprint(len(x))`),
  "node: CommonJS": node(
    `console.log(process.argv, process.execArgv, __filename, __dirname, require.main === module, module.paths, module.children.length);
console.log(Object.keys(globalThis), typeof require("./data.json"), Object.keys(require.cache), process.cwd(), process.title);
console.log(Object.entries(process.env).filter(([k]) => k !== "HOSTNAME").sort(), require("fs").readdirSync("/proc/self/fd").length > 3);
console.log(require("fs").statSync("main.js").mode.toString(8), require("fs").readdirSync("."));`,
    { env: { JOB: "1", BOTH: "job" }, files: { "data.json": "{}" } },
  ),
  "node: a module with imports and top-level await": node(
    `import os from "node:os";
import { name } from "./helper.mjs";
const { default: text } = await import("./late.js");
console.log(import.meta.url, import.meta.filename, import.meta.main, name, text, typeof os.cpus, typeof require, process.argv[1]);`,
    { files: { "helper.mjs": "export const name = 'helper'", "late.js": "module.exports = 'late'" } },
  ),
  "node: a folder that says it is a module": node("console.log(typeof module, import.meta.dirname)", {
    files: { "package.json": '{"type":"module"}' },
  }),
  "node: a package of the workspace": node("console.log(require('thing').name)", {
    files: { "node_modules/thing/index.js": "exports.name = 'mine'" },
  }),
  "node: an exception": node(`function inner() {
  throw new TypeError("über");
}
inner();`),
  "node: an unhandled rejection": node(
    "Promise.reject(new Error('later'));\nsetTimeout(() => console.log('never'), 50)",
  ),
  "node: a syntax error": node("const a = ;"),
  "node: exit codes and handlers": node(
    "process.on('exit', (code) => console.log('bye', code));\nprocess.exitCode = 4;\nsetTimeout(() => console.log('timer'), 10)",
  ),
  "node: exit at once": node("console.log('a');\nprocess.exit(5);\nconsole.log('b')"),
  "node: a signal of its own": node("process.kill(process.pid, 'SIGTERM'); setTimeout(() => {}, 1000)"),
  "node: stdin as a stream": node(
    "let n = 0;\nprocess.stdin.on('data', (b) => (n += b.length)).on('end', () => console.log(n))",
    {
      stdin: "\u0000é\n".repeat(70_000),
    },
  ),
  "node: stdin at once": node("console.log(JSON.stringify(require('fs').readFileSync(0, 'utf8')))", {
    stdin: "first\nlast",
  }),
  "node: no stdin": node("process.stdin.on('data', console.log).on('end', () => console.log('end'))"),
  "node: workers and child processes": node(
    `const { Worker } = require("node:worker_threads");
const { execFileSync, fork } = require("node:child_process");
if (process.argv[2] === "child") process.send([process.execArgv, process.argv.slice(2)]);
else {
  new Worker("require('worker_threads').parentPort.postMessage([process.execArgv, process.env.JOB])", { eval: true })
    .on("message", (m) => console.log("worker", m))
    .on("exit", () => fork(__filename, ["child"]).on("message", (m) => console.log("child", m)));
  console.log(execFileSync(process.execPath, ["-p", "process.execArgv"]).toString());
}`,
    { env: { JOB: "1" } },
  ),
  "node: variables that its start reads": node(
    "console.log(process.execArgv, process.allowedNodeEnvironmentFlags.size > 1, new Error('x').stack.split('\\n').length)",
    {
      env: { NODE_OPTIONS: "--stack-trace-limit=1" },
    },
  ),
};
