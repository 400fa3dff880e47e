/** The page around the client, where there is one. */

/** Whether nobody sees it. */
export const isHidden = (): boolean | undefined => globalThis.document?.hidden;

/** Hears `type` of the window until `signal`. */
export const listen = (type: string, listener: () => void, signal: AbortSignal): void =>
  globalThis.addEventListener?.(type, listener, { signal });
