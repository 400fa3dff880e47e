/** What a reload finds again, in storage that a browser may deny: then the page begins as if it were new. */

/** What was kept under `key`, or `otherwise`. `storage`: "localStorage" (of all tabs), "sessionStorage" (of this one). */
export function kept(storage, key, otherwise) {
  try {
    return JSON.parse(window[storage].getItem(key)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function keep(storage, key, value) {
  try {
    window[storage].setItem(key, JSON.stringify(value));
  } catch {
    // Denied, or full.
  }
}
