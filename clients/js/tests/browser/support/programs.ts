/** The programs that the tests start, and what to do where one is missing. */

import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Where each may be, as names to look for in PATH or as paths; the variable that overrides them. */
const PROGRAMS = {
  rowcast: {
    variable: "ROWCAST_BIN",
    candidates: [fileURLToPath(new URL("../../../../../target/debug/rowcast", import.meta.url))],
  },
  chromium: {
    variable: "ROWCAST_CHROMIUM",
    candidates: [
      "chromium",
      "chromium-browser",
      "google-chrome",
      "/Applications/Chromium.app/Contents/MacOS/Chromium",
      "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    ],
  },
  nginx: { variable: "ROWCAST_NGINX", candidates: ["nginx"] },
  haproxy: { variable: "ROWCAST_HAPROXY", candidates: ["haproxy"] },
  caddy: { variable: "ROWCAST_CADDY", candidates: ["caddy"] },
};

/** Debian keeps daemons where a user's PATH doesn't look. */
const DIRECTORIES = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"];

/** The path of a program. Throws where there is none: a test that needs it fails, and none is skipped. */
export function program(name: keyof typeof PROGRAMS): string {
  const { variable, candidates } = PROGRAMS[name];
  const given = process.env[variable];
  const paths = given
    ? [given]
    : candidates.flatMap((it) => (it.startsWith("/") ? [it] : DIRECTORIES.map((directory) => join(directory, it))));
  const found = paths.find(isExecutable);
  if (!found) {
    const remedy = name === "rowcast" ? "run cargo build" : "run scripts/setup.sh --tests";
    throw new Error(`no ${name} found: ${remedy}, or set ${variable} to its path`);
  }
  return found;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
