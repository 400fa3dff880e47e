/**
 * Builds the package into dist/, and rowcast.js, the one file that the relay serves.
 *
 *   node build.mjs           builds
 *   node build.mjs --check   builds, and fails where rowcast.js is not what is committed, or the package is not sound
 *
 * Both hold the budgets: bytes after gzip of what a page loads.
 */

import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

const SERVED = "rowcast.js";
const BUDGETS = [
  { what: "rowcast/sse", entry: "src/sse.ts", bytes: 2048 },
  { what: "rowcast", entry: "src/index.ts", bytes: 4096 },
];
const common = {
  absWorkingDir: import.meta.dirname,
  bundle: true,
  format: "esm",
  target: "es2022",
  external: ["react"],
  logLevel: "warning",
};

process.chdir(import.meta.dirname);
const isCheck = process.argv.includes("--check");
const bin = (name, ...args) => execFileSync(`node_modules/.bin/${name}`, args, { stdio: "inherit" });

/** Names of members that never leave the bundle: neither to its users nor to another tab, which may run another version. */
const INTERNAL =
  /^(subscriber|deliver|face|report|within|nap|setRetry|worked|failed|restart|current|options|ready|reset|waiting)$/;

/** One entry with all that it needs, as small as it gets. */
async function minified(entry) {
  const { outputFiles } = await build({ ...common, entryPoints: [entry], mangleProps: INTERNAL, write: false });
  const compress = {
    passes: 4,
    unsafe: true,
    unsafe_arrows: true,
    unsafe_methods: true,
    pure_getters: true,
    keep_fargs: false,
  };
  const { code } = await minify(outputFiles[0].text, { module: true, ecma: 2020, compress });
  return `${code}\n`;
}

let isSound = true;
const complain = (text) => {
  console.error(text);
  isSound = false;
};

rmSync("dist", { recursive: true, force: true });
await build({
  ...common,
  entryPoints: ["src/index.ts", "src/sse.ts", "src/react.ts"],
  outdir: "dist",
  splitting: true,
  sourcemap: true,
});
bin(
  "tsc",
  "--noEmit",
  "false",
  "--emitDeclarationOnly",
  "--declaration",
  "--declarationMap",
  "--outDir",
  "dist",
  "-p",
  "tsconfig.build.json",
);

for (const { what, entry, bytes } of BUDGETS) {
  const size = gzipSync(await minified(entry), { level: 9 }).length;
  console.log(`${what}: ${size} of ${bytes} bytes`);
  if (size > bytes) complain(`${what} is over its budget`);
}

const served = await minified("src/index.ts");
if (!isCheck) writeFileSync(SERVED, served);
else if (readFileSync(SERVED, "utf8") !== served) complain(`${SERVED} is not current: npm run build, and commit it`);

if (isCheck) {
  bin("publint", "--strict");
  bin("attw", "--pack", ".", "--profile", "esm-only");
}
process.exitCode = isSound ? 0 : 1;
