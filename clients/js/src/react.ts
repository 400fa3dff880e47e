/** For React 18 and later: a room as the state of a component. */

import { useEffect, useRef, useState } from "react";
import {
  type Options,
  type Reset,
  type RowEvent,
  RowList,
  type RowListOptions,
  type Status,
  subscribe,
} from "./index.js";

export interface RoomOptions<Row> extends Options<Row>, RowListOptions<Row> {}

export interface Room<Row> {
  /** The rows of the room in order, as `RowList` keeps them. */
  rows: readonly Row[];
  status: Status;
}

/**
 * Subscribes to the events at `url` while the component is mounted; of another `url` it begins anew. `undefined` is no
 * subscription. Callbacks may change with each rendering; other options count when the subscription begins.
 */
export function useRoom<Row = Record<string, unknown>>(
  url: string | URL | undefined,
  options: RoomOptions<Row> = {},
): Room<Row> {
  const latest = useRef(options);
  const [rows, setRows] = useState<readonly Row[]>([]);
  const [status, setStatus] = useState<Status>({ state: "connecting", transport: "sse" });
  const address = url?.toString();

  useEffect(() => {
    latest.current = options;
  });

  useEffect(() => {
    setRows([]);
    if (address === undefined) return;
    const list = new RowList<Row>(latest.current);
    const subscription = subscribe<Row>(address, {
      ...latest.current,
      onEvent(event: RowEvent<Row>) {
        list.apply(event);
        setRows(list.rows);
        latest.current.onEvent?.(event);
      },
      onReset(reset: Reset) {
        list.clear();
        setRows(list.rows);
        latest.current.onReset?.(reset);
      },
      onStatus(status: Status) {
        setStatus(status);
        latest.current.onStatus?.(status);
      },
    });
    return () => subscription.close();
  }, [address]);

  return { rows, status };
}
